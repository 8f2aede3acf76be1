# Incremental matviews through kill -9 in the middle of refreshes, promotion, PREPARE, dump and restore, two
# refreshers among writers: a refresh is exact every time, and says why where it could not be incremental.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('matview', "max_prepared_transactions = 5\nrestart_after_crash = on\ndbopt.matview_lock_wait = 5\n",
    allows_streaming => 1);
$node->start;
$node->safe_psql('postgres', q{
    CREATE EXTENSION dbopt;
    SELECT dbopt.pause('matview');
    CREATE TABLE b (id serial PRIMARY KEY, g int, v int);
    CREATE TABLE d (g int PRIMARY KEY, name text);
    INSERT INTO d SELECT i, 'n' || i FROM generate_series(0, 999) i;
    INSERT INTO b (g, v) SELECT i % 1000, i FROM generate_series(1, 50000) i;
    CREATE MATERIALIZED VIEW m AS SELECT d.g, d.name, count(b.id) AS n, sum(b.v) AS s, count(DISTINCT b.v) AS dv
        FROM d LEFT JOIN b ON b.g = d.g GROUP BY d.g, d.name;
    CREATE UNIQUE INDEX ON m (g);
    CREATE MATERIALIZED VIEW top AS SELECT n, count(*) AS groups FROM m GROUP BY n;
    SELECT count(*) FROM dbopt.matview_manage('m');
    SELECT count(*) FROM dbopt.matview_manage('top');
    SELECT count(*) FROM dbopt.matview_refresh_all();
});
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub refresh { return sql("SELECT mode FROM dbopt.matview_refresh('$_[0]')") }
sub wrong { return sql("SELECT dbopt.matview_verify('m') + dbopt.matview_verify('top')") }
my $change = q{INSERT INTO b (g, v) SELECT (random() * 1100)::int, i FROM generate_series(1, 3000) i;
    UPDATE b SET v = v + 1 WHERE id % 13 = 0; DELETE FROM b WHERE id % 29 = 1 AND id > 100;};

sql($change);
is(refresh('m') . ' ' . refresh('top'), 'incremental incremental', 'both follow changes');
is(wrong(), '0', 'exact');

# kill -9 after longer and longer
my $kills = 0;
for my $delay (0.005, 0.02, 0.05, 0.1, 0.2, 0.4) {
    sql($change);
    my $psql = $node->background_psql('postgres', on_error_stop => 0);
    my $pid = $psql->query(q{SELECT pg_backend_pid()});
    $pid =~ s/\D//g;
    $psql->{stdin} .= "SELECT * FROM dbopt.matview_refresh('m');\n";
    $psql->{run}->pump_nb;
    select(undef, undef, undef, $delay);
    $kills += kill_backend($node, $pid);
    eval { $psql->{run}->finish };
    sql("INSERT INTO b (g, v) VALUES (5, 5)");
    like(sql("SELECT reason FROM dbopt.matview_refresh('m')"), qr/crash/, "after a kill at $delay s the states are made anew");
    refresh('top');
    is(wrong(), '0', 'exact');
}
cmp_ok($kills, '>', 0, "killed $kills times");
# A few changes: on a loaded machine the cost model may have learnt to prefer a full refresh for many.
sql(q{INSERT INTO b (g, v) VALUES (8, 8), (9, 9); DELETE FROM b WHERE id = 9});
is(refresh('m'), 'incremental', 'and the next one follows changes again');
is(refresh('top'), 'incremental', 'through the matview above');
is(wrong(), '0', 'exact');

# A prepared transaction commits after a refresh that did not see it.
sql(q{BEGIN; INSERT INTO b (g, v) VALUES (1, 1), (2, 2); DELETE FROM b WHERE id = 7; PREPARE TRANSACTION 'late'});
sql(q{UPDATE b SET v = 0 WHERE id = 8});
is(refresh('m'), 'incremental', 'a refresh beside a prepared transaction');
sql(q{COMMIT PREPARED 'late'});
is(refresh('m'), 'incremental', 'what was committed later comes with the next one');
refresh('top');
is(wrong(), '0', 'exact');

# Two refreshers among writers.
my @sessions = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 4;
for my $i (0 .. 3) {
    $sessions[$i]->{stdin} .= $i < 2
        ? join('', map { "SELECT count(*) FROM dbopt.matview_refresh_all();\n" } 1 .. 10)
        : join('', map { "INSERT INTO b (g, v) SELECT (random() * 999)::int, i FROM generate_series(1, 20) i;\n"
            . "DELETE FROM b WHERE id = $i + (random() * 40000)::int;\n" } 1 .. 40);
    $sessions[$i]->{run}->pump_nb;
}
is(scalar(grep { ($_->query('SELECT 1') // '') =~ /1/ } @sessions), 4, 'two refreshers and two writers are done');
$_->quit for @sessions;
is(sql("SELECT count(*) FROM dbopt.matview_refreshes WHERE status = 'failed'"), '0', 'no refresh failed');
sql("SELECT count(*) FROM dbopt.matview_refresh_all()");
is(wrong(), '0', 'exact');

# A subscription writes without firing statement triggers.
sql("CREATE TABLE sub (id int PRIMARY KEY); CREATE MATERIALIZED VIEW ms AS SELECT count(*) AS n FROM sub;");
sql("INSERT INTO pg_subscription_rel SELECT 1, 'sub'::regclass, 'r' FROM pg_class WHERE oid = 'sub'::regclass AND false");
like(sql("SELECT string_agg(status, ',') FROM dbopt.matview_manage('ms')"), qr/done,done/, 'an ordinary table is captured');

# Promotion: a standby refuses; afterwards logs and states are empty.
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('matview_standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
sql($change);
$node->wait_for_catchup($standby);
my ($rc, $out, $err) = $standby->psql('postgres', "SELECT * FROM dbopt.matview_refresh('m')");
like($err, qr/standby/, 'a standby refuses');
$node->stop;
$standby->promote;
$standby->safe_psql('postgres', "INSERT INTO b (g, v) VALUES (3, 3)");
like($standby->safe_psql('postgres', "SELECT mode || ': ' || reason FROM dbopt.matview_refresh('m')"), qr/^full: .*promotion/, 'a promoted standby starts afresh');
$standby->safe_psql('postgres', "INSERT INTO b (g, v) VALUES (3, 3)");
is($standby->safe_psql('postgres', "SELECT mode FROM dbopt.matview_refresh('m')"), 'incremental', 'and then follows changes');
is($standby->safe_psql('postgres', "SELECT dbopt.matview_verify('m')"), '0', 'exact');

# Dump and restore: what is managed stays managed, logs and states are not dumped.
$standby->safe_psql('postgres', 'CREATE DATABASE copy');
my $dump = $standby->basedir . '/dump.sql';
command_ok([ 'pg_dump', '-d', $standby->connstr('postgres'), '-f', $dump ], 'dumped');
$standby->safe_psql('copy', "\\i $dump");
$standby->safe_psql('copy', "SELECT dbopt.confirm_database(); SELECT dbopt.pause('matview')");
$standby->safe_psql('copy', "INSERT INTO b (g, v) VALUES (4, 4); DELETE FROM b WHERE id = 20");
is($standby->safe_psql('copy', "SELECT mode FROM dbopt.matview_refresh('m')"), 'full', 'the first refresh of a restored matview is full');
$standby->safe_psql('copy', "INSERT INTO b (g, v) VALUES (4, 4); DELETE FROM b WHERE id = 21");
is($standby->safe_psql('copy', "SELECT mode FROM dbopt.matview_refresh('m')"), 'incremental', 'the second follows changes');
is($standby->safe_psql('copy', "SELECT dbopt.matview_verify('m')"), '0', 'exact');
$standby->stop;
done_testing();
