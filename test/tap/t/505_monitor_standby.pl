# Resets by others become gaps; a standby reads everything and writes nothing; after promotion its worker
# goes on with what the primary left.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $primary = dbopt_cluster('resets', "dbopt.snapshot_interval = 0\ndbopt.enabled = off\n", allows_streaming => 1);
$primary->start;
$primary->safe_psql('postgres', q{CREATE EXTENSION dbopt; CREATE TABLE t (id int PRIMARY KEY, v text);
	SELECT dbopt.alert_set(rule, enabled => false) FROM dbopt.alert_rules WHERE rule NOT IN ('xid_age_pct', 'multixact_age_pct')});

# ---- somebody resets the statistics between two snapshots ----
sub work { $primary->safe_psql('postgres', "INSERT INTO t SELECT g, 'x' FROM generate_series($_[0], $_[0] + 999) g; SELECT count(*) FROM t; SELECT pg_stat_force_next_flush()") }
sub snapshot { $primary->safe_psql('postgres', 'SELECT dbopt.snapshot(); SELECT pg_sleep(0.01)') }
my @resets = ('pg_stat_reset()', q{pg_stat_reset_shared('wal')}, q{pg_stat_reset_shared('bgwriter')}, q{pg_stat_reset_single_table_counters('t'::regclass)}, 'dbopt.workload_reset()');
my $at = 1;
for my $reset (@resets)
{
	for (1 .. 2) { work($at); $at += 1000; snapshot(); }
	$primary->safe_psql('postgres', "SELECT $reset");
	work($at); $at += 1000;
	snapshot();
	is($primary->safe_psql('postgres', q{SELECT count(*) FROM dbopt._window('0 s') WHERE delta < 0}), '0', "$reset: no counter runs backwards");
	is($primary->safe_psql('postgres', q{SELECT count(*) FROM dbopt.table_growth('0 s') WHERE least(inserted, updated, deleted, scans, rows_read) < 0 OR hit_pct NOT BETWEEN 0 AND 100}), '0', "$reset: nor one of a table");
	is($primary->safe_psql('postgres', q{SELECT count(*) FROM dbopt.slow_queries_since('0 s') WHERE calls < 0 OR total_ms < 0 OR rows < 0}), '0', "$reset: nor one of a statement");
	is($primary->safe_psql('postgres', q{SELECT count(*) FROM dbopt.buffer_hit_since('0 s') WHERE hits < 0 OR reads < 0}), '0', "$reset: nor blocks");
}
is($primary->safe_psql('postgres', q{SELECT count(*) FROM dbopt.history_points WHERE value < 0}), '0', 'the history keeps what was counted');
# The chart of transactions: a line that is taken up again after each gap.
my ($chart) = $primary->safe_psql('postgres', 'SELECT dbopt.report()') =~ /Transactions per second.*?<path class="line" d="([^"]*)"/s;
my $pieces = () = ($chart // '') =~ /M/g;
cmp_ok($pieces, '>=', 2, 'a reset is a gap in the chart');
unlike($chart // '-', qr/-\d/, 'and no line below zero');
is($primary->safe_psql('postgres', q{SELECT count(*) FROM dbopt.health('ok', 'deep') WHERE status = 'error' OR value < 0}), '0', 'no check is confused');
is($primary->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_database WHERE datname = 'postgres' AND stats_reset > pg_postmaster_start_time()}), '1', 'only somebody else resets: the time of the last reset is theirs');

# ---- an alert of the primary, and its standby ----
$primary->safe_psql('postgres', q{SELECT dbopt.alert_set('xid_age_pct', warn => -2, critical => -1, for_time => '0'); SELECT count(*) FROM dbopt.alert_check('fast');
	SELECT dbopt.pool_add('app', application_name => 'app', max_size => 10); SELECT dbopt.baseline_save('b'); CREATE ROLE watcher LOGIN; GRANT pg_monitor TO watcher; CREATE ROLE nobody LOGIN});
$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('resets_standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->append_conf('postgresql.conf', "dbopt.enabled = on");
$standby->start;
$primary->wait_for_catchup($standby);
my @reads = ((map { "SELECT count(*) FROM dbopt.$_" } "health('ok', 'deep')", 'health_summary()', 'metrics()', 'table_growth()', 'slow_queries_since()', 'buffer_hit_since()',
	"baseline_compare('b')", "pool_profile('production')", "alert_check('deep')", qw(long_running_queries blocking connections buffer_hit table_size_monitor replication growth_forecast
	slow_queries query_performance_monitor history_points settings_advice alerts alert_rules alert_event pools pool_advice)),
	'SELECT length(dbopt.report())', 'SELECT length(dbopt.prometheus())', 'SELECT dbopt.snapshot() IS NULL');
for my $sql (@reads)
{
	my ($code, $out, $err) = $standby->psql('postgres', $sql);
	is($code, 0, "standby: $sql") or diag $err;
}
is($standby->safe_psql('postgres', "SET ROLE watcher; SELECT count(*) FROM dbopt.health('ok', 'deep') WHERE status = 'error'"), '0', 'standby: pg_monitor');
is($standby->safe_psql('postgres', "SET ROLE nobody; SELECT count(*) FROM dbopt.health('ok', 'deep') WHERE status = 'error'"), '0', 'standby: a role without rights');
for my $sql (q{SELECT dbopt.alert_mute('xid_age_pct', now() + interval '1 hour', 'x')}, q{SELECT dbopt.baseline_save('c')}, q{SELECT dbopt.pool_add('p', application_name => 'p')})
{
	my ($code, $out, $err) = $standby->psql('postgres', $sql);
	like($err, qr/read-only transaction|cannot execute/, "standby: refused in words: $sql");
}
is($standby->safe_psql('postgres', q{SELECT level FROM dbopt.alerts WHERE rule = 'xid_age_pct'}), 'critical', 'the alert of the primary is seen');
unlike(slurp_file($standby->logfile), qr/dbopt alert \{/, 'and not told once more');

# ---- promotion: the worker takes the alert over, and tells its end ----
$standby->promote;
$standby->safe_psql('postgres', q{SELECT dbopt.confirm_database() }) if $standby->safe_psql('postgres', q{SELECT count(*) FROM dbopt.status() WHERE detail LIKE '%confirm_database%'}) ne '0';
$standby->safe_psql('postgres', "SELECT dbopt.alert_set('multixact_age_pct', warn => -2, critical => -1, for_time => '0')");
ok($standby->poll_query_until('postgres', "SELECT count(*) = 1 FROM dbopt.alert_event WHERE rule = 'multixact_age_pct'"), 'promoted: the worker raises alerts');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM dbopt.alert_event WHERE rule = 'xid_age_pct'}), '1', 'and does not repeat those it inherited');
ok($standby->safe_psql('postgres', 'SELECT dbopt.snapshot() IS NOT NULL') eq 't', 'snapshots go on');
ok(no_crash($standby) && no_crash($primary), 'no backend crashed');
$standby->stop;
$primary->stop;
done_testing();
