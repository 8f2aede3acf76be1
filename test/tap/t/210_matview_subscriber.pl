# A base that a subscription writes fires no statement triggers: its matviews are refreshed in full, say why, and
# never claim that nothing changed. Before and after the subscription changes are followed.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = PostgreSQL::Test::Cluster->new('matview_publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->append_conf('postgresql.conf', "fsync = off\n");
$publisher->start;
my $subscriber = PostgreSQL::Test::Cluster->new('matview_subscriber');
$subscriber->init;
$subscriber->append_conf('postgresql.conf', "shared_preload_libraries = 'dbopt'\nfsync = off\n");
$subscriber->start;

my $tables = q{
    CREATE TABLE t (id int PRIMARY KEY, g int, v int);
    CREATE TABLE p (id int, g int) PARTITION BY RANGE (id);
    CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (1000);
    CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM (1000) TO (2000);
    ALTER TABLE p REPLICA IDENTITY FULL; ALTER TABLE p_1 REPLICA IDENTITY FULL; ALTER TABLE p_2 REPLICA IDENTITY FULL};
$publisher->safe_psql('postgres', $tables);
$publisher->safe_psql('postgres', 'INSERT INTO t SELECT i, i % 5, i FROM generate_series(1, 50) i; CREATE PUBLICATION pub FOR TABLE t, p_1');
sub sql { return $subscriber->safe_psql('postgres', @_) }
sub refresh { return sql("SELECT mode FROM dbopt.matview_refresh('$_[0]')") }
sub why { return sql("SELECT verdict || ': ' || detail FROM dbopt.matview_explain('$_[0]') WHERE aspect = 'incremental'") }
sub wrong { return sql("SELECT sum(dbopt.matview_verify(matview)) FROM dbopt.matview_config") }
sub caught_up { $publisher->wait_for_catchup('sub') }

sql("CREATE EXTENSION dbopt; SELECT dbopt.pause('matview'); $tables");
sql('CREATE TABLE local (g int PRIMARY KEY, name text); INSERT INTO local SELECT i, i FROM generate_series(0, 4) i');
sql('CREATE MATERIALIZED VIEW m AS SELECT g, count(*) AS n, sum(v) AS s FROM t GROUP BY g');
sql('CREATE MATERIALIZED VIEW j AS SELECT l.name, count(t.id) AS n FROM local l LEFT JOIN t USING (g) GROUP BY l.name');
sql('CREATE MATERIALIZED VIEW parts AS SELECT g, count(*) AS n FROM p GROUP BY g');
my @all = qw(m j parts);
sql("SELECT dbopt.matview_manage('$_')") for @all;
is(join(',', map { refresh($_) } @all), 'full,full,full', 'first');
sql('INSERT INTO t VALUES (1001, 1, 1); INSERT INTO p VALUES (1, 1), (1001, 2)');
is(join(',', map { refresh($_) } @all), 'incremental,incremental,incremental', 'an ordinary table is followed');
is(wrong(), '0', 'exact');

my $connection = $publisher->connstr . ' dbname=postgres';
sql("CREATE SUBSCRIPTION sub CONNECTION '$connection' PUBLICATION pub");
$subscriber->wait_for_subscription_sync($publisher, 'sub');
is(sql('SELECT count(*) FROM t'), '51', 'the first copy has come');
is(join(',', map { refresh($_) } @all), 'full,full,full', 'captured before, not any more');
is(wrong(), '0', 'exact');
like(why('m'), qr/^no: .*written by a subscription/, 'the reason');
like(why('j'), qr/^no: .*written by a subscription/, 'one such base is enough');
like(why('parts'), qr/^no: .*written by a subscription/, 'one partition as well');

# What the apply worker writes is never missed, and a refresh without changes is still none.
for my $round (1 .. 3) {
    $publisher->safe_psql('postgres', "INSERT INTO t SELECT $round * 100 + i, i % 5, i FROM generate_series(1, 9) i; UPDATE t SET v = v + 1 "
        . "WHERE id % 7 = $round; DELETE FROM t WHERE id = $round; INSERT INTO p VALUES ($round, $round)");
    caught_up();
    is(join(',', map { refresh($_) } @all), 'full,full,full', "changes by the subscription, $round");
    is(wrong(), '0', 'exact');
}
like(refresh('m'), qr/^(skip|full)$/, 'no change');
is(wrong(), '0', 'exact');
$publisher->safe_psql('postgres', 'TRUNCATE t');
caught_up();
is(refresh('m'), 'full', 'TRUNCATE by the subscription');
is(wrong() * 0 + sql("SELECT count(*) FROM m"), '0', 'no row is left');

# A matview that comes while the subscription is there.
sql('CREATE MATERIALIZED VIEW late AS SELECT g, max(v) AS v FROM t GROUP BY g');
like(sql("SELECT string_agg(detail, ' ') FROM dbopt.matview_manage('late')"), qr/written by a subscription/, 'refused from the beginning');

# Without the subscription the table is an ordinary one again.
sql('DROP SUBSCRIPTION sub');
is(join(',', map { refresh($_) } @all), 'full,full,full', 'after the subscription');
is(refresh('late'), 'full', 'the one that was refused, too');
sql('INSERT INTO t SELECT i, i % 5, i FROM generate_series(1, 20) i; DELETE FROM p WHERE g = 2');
is(join(',', map { refresh($_) } @all), 'incremental,incremental,incremental', 'followed again');
like(sql("SELECT mode || ': ' || reason FROM dbopt.matview_refresh('late')"), qr/^incremental: /, 'and so is that one');
is(wrong(), '0', 'exact');
$subscriber->stop;
$publisher->stop;
done_testing();
