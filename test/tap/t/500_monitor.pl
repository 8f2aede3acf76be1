# Health and alerts where life is hard: a locked table, a restart, a standby, a role without rights.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use JSON::PP;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "shared_preload_libraries = 'dbopt'\ndbopt.snapshot_interval = 0\n");
$primary->start;
$primary->safe_psql('postgres', 'CREATE EXTENSION dbopt; CREATE TABLE t (id serial PRIMARY KEY, v text);
    INSERT INTO t (v) SELECT repeat(\'x\', 50) FROM generate_series(1, 5000)');

# ---- nothing waits for a lock, held or queued ----
my $holder = $primary->background_psql('postgres');
$holder->query_safe("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE; ALTER SEQUENCE t_id_seq RESTART WITH 1");
my @calls = (
    "SELECT count(*) > 90 FROM dbopt.health('ok', 'deep')",
    'SELECT count(*) = 1 FROM dbopt.health_summary()',
    "SELECT bytes_ > 200000 FROM (SELECT total_bytes AS bytes_ FROM dbopt.table_size_monitor WHERE estimated_rows IS NOT NULL OR true ORDER BY 1 DESC LIMIT 1) s",
    'SELECT dbopt.snapshot() IS NOT NULL',
    'SELECT count(*) > 0 FROM dbopt.metrics()',
    "SELECT dbopt.report() LIKE '<!DOCTYPE%'",
    'SELECT count(*) >= 0 FROM dbopt.buffer_hit',
    'SELECT count(*) >= 0 FROM dbopt.table_growth()',
    'SELECT count(*) >= 0 FROM dbopt.growth_forecast',
    'SELECT count(*) >= 0 FROM dbopt.alert_check()',
    'SELECT count(*) > 0 FROM dbopt.connections');
for my $sql (@calls) {
    my ($code, $out, $err) = $primary->psql('postgres', "SET statement_timeout = '30s'; $sql");
    is("$code $out", '0 t', "beside ACCESS EXCLUSIVE: $sql") or diag $err;
}
is($primary->safe_psql('postgres', "SELECT string_agg(DISTINCT status, ',') FROM dbopt.health('ok', 'deep') WHERE status = 'error'"),
    '', 'and no check fails for it');
# a chain: holder, waiter, waiter behind the waiter (a soft block)
my @waiters = map { my $w = $primary->background_psql('postgres'); $w->query_until(qr/go/, "\\echo go\n$_;\n"); $w }
    'ALTER TABLE t ADD COLUMN w int', 'SELECT count(*) FROM t';
ok($primary->poll_query_until('postgres', "SELECT count(*) >= 2 AND count(DISTINCT root_pid) = 1 AND max(depth) >= 1
    AND bool_and(root_state = 'idle in transaction') FROM dbopt.blocking"), 'blocking shows one root and both waiters');
$holder->query_safe('ROLLBACK');
$holder->quit;
$_->quit for @waiters;

# ---- alerts survive a restart: no second alert, and the end is noticed ----
$primary->safe_psql('postgres', "SELECT dbopt.alert_set('xid_age_pct', warn => 0, critical => 1e-12)");
$primary->poll_query_until('postgres', "SELECT (SELECT count(*) FROM dbopt.alert_check('fast')) >= 0
    AND EXISTS (SELECT FROM dbopt.alert_event WHERE rule = 'xid_age_pct')") or die 'no alert';
$primary->restart;
$primary->safe_psql('postgres', "SELECT dbopt.alert_check('fast')") for 1 .. 3;
is($primary->safe_psql('postgres', "SELECT count(*) FROM dbopt.alert_event WHERE rule = 'xid_age_pct'"), '1', 'one alert, restart or not');
like(slurp_file($primary->logfile), qr/dbopt alert \{.*"rule": "xid_age_pct"/, 'it is in the log, as JSON');

# ---- slow statements in the log: one line of JSON, without the statement's constants ----
$primary->safe_psql('postgres', q{SET dbopt.log_slow_queries = on; SET dbopt.slow_query_threshold = '50 ms';
    SELECT 1; SELECT pg_sleep(0.2), 'hidden "word"' AS "a ""quoted"" name"});
my ($line) = slurp_file($primary->logfile) =~ /dbopt slow query (\{.*\})$/m;
my $slow = eval { JSON::PP->new->decode($line // '') };
ok($slow, 'a slow statement is one line of JSON') or diag $@;
cmp_ok($slow->{duration_ms}, '>=', 190, 'with its duration');
is($slow->{query}, 'SELECT pg_sleep(?), ? AS "a ""quoted"" name"', 'and its text without constants');
unlike(slurp_file($primary->logfile), qr/dbopt slow query .*SELECT \?"/, 'a quick one is not logged');

# ---- the worker raises alerts by itself ----
$primary->safe_psql('postgres', "SELECT dbopt.alert_set('multixact_age_pct', warn => -1, critical => 0)");
ok($primary->poll_query_until('postgres', "SELECT count(*) = 1 FROM dbopt.alert_event WHERE rule = 'multixact_age_pct'"),
    'the worker raises an alert without being asked');

# ---- a role without rights ----
$primary->safe_psql('postgres', 'CREATE ROLE nobody LOGIN; CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher');
is($primary->safe_psql('postgres', "SET ROLE nobody; SELECT string_agg(DISTINCT status, ',') FROM dbopt.health() WHERE check_name IN ('connections_used_pct', 'longest_query_seconds')"),
    'skipped', 'without pg_monitor: skipped');
for my $sql ('SELECT dbopt.snapshot()', 'SELECT dbopt.report()', 'SELECT * FROM dbopt.metrics()', 'SELECT * FROM dbopt.alert_check()',
    "SELECT dbopt.pool_add('x', 'host=/tmp')", 'SELECT * FROM dbopt.history') {
    my ($code, $out, $err) = $primary->psql('postgres', "SET ROLE nobody; $sql");
    like($err, qr/permission denied/, "refused: $sql");
}
is($primary->safe_psql('postgres', "SET ROLE watcher; SELECT count(*) FROM dbopt.health('ok', 'deep') WHERE status = 'error'"), '0', 'pg_monitor sees everything');
is($primary->safe_psql('postgres', "SET ROLE watcher; SELECT dbopt.report() LIKE '<!DOCTYPE%' AND dbopt.prometheus() LIKE '# HELP%'"), 't', 'report and exposition for pg_monitor');

# ---- a standby reads everything and writes nothing ----
$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', "SELECT count(*) FROM dbopt.health('ok', 'deep') WHERE status = 'error'"), '0', 'standby: no check fails');
is($standby->safe_psql('postgres', "SELECT status FROM dbopt.health() WHERE check_name = 'standby_delay_seconds'"), 'ok', 'standby: its delay is measured');
is($standby->safe_psql('postgres', "SELECT dbopt.snapshot() IS NULL"), 't', 'standby: no snapshot');
is($standby->safe_psql('postgres', "SELECT count(*) FROM dbopt.alert_check()"), '0', 'standby: no alert');
is($standby->safe_psql('postgres', "SELECT dbopt.report() LIKE '<!DOCTYPE%' AND dbopt.prometheus() LIKE '# HELP%'"), 't', 'standby: report and exposition');
is($standby->safe_psql('postgres', "SELECT count(*) > 0 FROM dbopt.replication WHERE kind = 'receiver'"), 't', 'standby: its receiver is shown');
is($primary->safe_psql('postgres', "SELECT count(*) FROM dbopt.replication WHERE kind = 'replica' AND state = 'streaming'"), '1', 'primary: the replica is shown');
$standby->stop;
$primary->stop;
done_testing();
