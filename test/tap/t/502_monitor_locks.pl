# Nothing that reads health, history, pools or the overview waits for a lock on a user's table: neither
# for one that is held, nor behind one that is queued.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('monitor_locks');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dbopt'\ndbopt.snapshot_interval = 0\nautovacuum = off\n");
$node->start;
# The rounds of dbopt's own workers may wait for these locks: they are switched off.
$node->safe_psql('postgres', q{CREATE EXTENSION dbopt;
    CREATE TABLE ev (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at);
    CREATE INDEX ON ev (id);
    SELECT count(*) FROM dbopt.partition_manage('ev', '1 day', default_partition => true);
    CREATE TABLE ids (id bigint) PARTITION BY RANGE (id);
    SELECT count(*) FROM dbopt.partition_manage('ids', '1000', default_partition => true);
    CREATE TABLE base (a int PRIMARY KEY, b text, p int REFERENCES base);
    INSERT INTO base SELECT g, g FROM generate_series(1, 3000) g;
    CREATE INDEX ON base (b);
    CREATE SEQUENCE s;
    CREATE MATERIALIZED VIEW mv AS SELECT b, count(*) AS n FROM base GROUP BY b;
    SELECT dbopt.matview_manage('mv');
    SELECT dbopt.snapshot(); SELECT dbopt.baseline_save('b');
    ALTER SYSTEM SET dbopt.enabled = off; SELECT pg_reload_conf();});

my @calls = (
    "SELECT count(*) FROM dbopt.health('ok', 'deep')", 'SELECT * FROM dbopt.health_summary()', 'SELECT dbopt.snapshot()',
    'SELECT length(dbopt.report())', 'SELECT length(dbopt.prometheus())', 'SELECT count(*) FROM dbopt.metrics()',
    "SELECT count(*) FROM dbopt.alert_check('deep')", 'SELECT count(*) FROM dbopt.status()',
    "SELECT dbopt.baseline_save('c')", "SELECT count(*) FROM dbopt.baseline_compare('b')",
    (map { "SELECT count(*) FROM dbopt.$_" } 'table_growth()', 'slow_queries_since()', 'buffer_hit_since()', "pool_profile('production')", 'pool_poll()',
        'partition_check()', qw(long_running_queries blocking connections buffer_hit table_size_monitor replication growth_forecast
        slow_queries query_performance_monitor history_points settings_advice alerts alert_rules pools pool_advice partition_sets
        partitions matviews index_usage index_effectiveness index_unused index_redundant index_invalid foreign_keys_unindexed)));

sub calls_do_not_wait
{
    my ($when) = @_;
    # A waiter would stand in line behind the lock for ever; lock_timeout would hide it from us.
    for my $sql (@calls)
    {
        my ($code, $out, $err) = $node->psql('postgres', "SET statement_timeout = '60s'; $sql");
        is($code, 0, "$when: $sql") or diag $err;
    }
    is($node->safe_psql('postgres', "SELECT string_agg(check_name || ': ' || detail, ', ') FROM dbopt.health('ok', 'deep') WHERE status = 'error'"),
        '', "$when: no check fails for it");
    unlike($node->safe_psql('postgres', 'SELECT dbopt.report()'), qr/Not available/, "$when: the report is whole");
    # Plans of other rooms may give up after 200 ms, one by one; the round goes on.
    for my $sql ('SELECT count(*) > 0 FROM dbopt.optimize()', 'SELECT count(*) > 0 FROM dbopt.setup()')
    {
        my ($code, $out, $err) = $node->psql('postgres', "SET statement_timeout = '60s'; $sql");
        is("$code $out", '0 t', "$when: $sql") or diag $err;
    }
}

my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE ev, ids, base IN ACCESS EXCLUSIVE MODE; REFRESH MATERIALIZED VIEW mv; ALTER SEQUENCE s RESTART WITH 7');
calls_do_not_wait('held');
$holder->query_safe('ROLLBACK');

$holder->query_safe('BEGIN; SELECT count(*) FROM base; SELECT count(*) FROM ev; SELECT count(*) FROM mv');
my @waiters = map { my $w = $node->background_psql('postgres'); $w->query_until(qr/go/, "\\echo go\n$_;\n"); $w }
    'ALTER TABLE base ADD COLUMN w int', 'ALTER TABLE ev ADD COLUMN w int', 'REFRESH MATERIALIZED VIEW mv';
$node->poll_query_until('postgres', 'SELECT count(DISTINCT pid) = 3 FROM pg_locks WHERE NOT granted') or die 'nobody waits';
calls_do_not_wait('queued');
$holder->query_safe('ROLLBACK');
$holder->quit;
$_->quit for @waiters;
$node->stop;
done_testing();
