# Checks over other sessions, each made bad on purpose: limits of roles, transactions left open, long
# statements with dumps, walsenders and dbopt's own workers told apart, blocking chains with their root.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('health_sessions', "dbopt.snapshot_interval = 0\nmax_prepared_transactions = 5\nmax_connections = 30", allows_streaming => 1);
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION dbopt; CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t VALUES (1), (2);
	CREATE ROLE narrow LOGIN CONNECTION LIMIT 2; GRANT ALL ON t TO narrow; CREATE DATABASE small CONNECTION LIMIT 3});
# The value of a check as it is now; thresholds are set so that the test waits for nothing but what it makes.
sub check { my ($name, $what) = @_; return $node->safe_psql('postgres', "SELECT $what FROM dbopt.health('ok', 'fast') WHERE check_name = '$name'") }
sub becomes { my ($name, $condition, $says) = @_; ok($node->poll_query_until('postgres', "SELECT $condition FROM dbopt.health('ok', 'fast') WHERE check_name = '$name'"), $says) or diag check($name, 'health') }

# ---- connection limits of roles and databases ----
my @narrow = map { $node->background_psql('postgres', extra_params => [ '-U', 'narrow' ]) } 1 .. 2;
becomes('role_connections_pct', "status = 'critical' AND detail LIKE 'role narrow: 2 of 2%'", 'a role at its limit is critical');
my @small = map { $node->background_psql('small') } 1 .. 3;
becomes('database_connections_pct', "status = 'critical' AND detail LIKE 'database small: 3 of 3%'", 'a database at its limit, too');
$_->quit for @small;

# ---- a transaction left open ----
$node->safe_psql('postgres', "SELECT dbopt.alert_set('idle_in_transaction_seconds', warn => 0.01), dbopt.alert_set('longest_transaction_seconds', warn => 0.01), dbopt.alert_set('longest_query_seconds', warn => 0.01)");
$narrow[0]->query_safe('BEGIN; UPDATE t SET a = 1 WHERE a = 1');
my $left_open = $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE usename = 'narrow' AND state = 'idle in transaction'");
becomes('idle_in_transaction_seconds', "status IN ('warning', 'critical') AND detail LIKE '%pid $left_open'", 'idle in a transaction, with its process');
becomes('longest_transaction_seconds', "status IN ('warning', 'critical')", 'it is the longest transaction');
is($node->safe_psql('postgres', "SELECT idle_in_transaction FROM dbopt.connections WHERE role = 'narrow'"), '1', 'the view of connections counts it');

# ---- who waits for it: two waiters, one root; then a prepared transaction as the root ----
my @waiters = map { my $w = $node->background_psql('postgres'); $w->query_until(qr/go/, "\\echo go\nUPDATE t SET a = a WHERE a = 1;\n"); $w } 1 .. 2;
ok($node->poll_query_until('postgres', "SELECT count(DISTINCT blocked_pid) = 2 AND min(root_pid) = $left_open AND max(root_pid) = $left_open
	AND bool_and(end_command = 'SELECT pg_terminate_backend($left_open)') FROM dbopt.blocking"), 'two waiters, one root, and the command that ends it');
becomes('blocked_sessions', "value = 2 AND detail LIKE '%pid $left_open%'", 'health names the root');
ok($node->poll_query_until('postgres', "SELECT count(*) > 0 FROM dbopt.long_running_queries WHERE pid = $left_open OR query LIKE 'UPDATE t%'"), 'long statements list who has waited for five seconds');
$narrow[0]->query_safe("PREPARE TRANSACTION 'root'");
ok($node->poll_query_until('postgres', "SELECT count(DISTINCT blocked_pid) = 2 AND bool_and(root_pid = 0 AND root_state = 'prepared transaction'
	AND end_command LIKE '%pg_prepared_xacts%') FROM dbopt.blocking"), 'a prepared transaction is the root, without a process');
becomes('blocked_sessions', "detail LIKE '%prepared transaction%'", 'health says so');
$node->safe_psql('postgres', "ROLLBACK PREPARED 'root'");
$_->quit for @waiters, @narrow;
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM dbopt.blocking'), 'nobody waits any more');
becomes('blocked_sessions', "value = 0 AND status = 'ok'", 'and health is fine');

# ---- long statements: a dump, a walsender and workers are not a client's ----
my $dump = $node->background_psql('postgres');
$dump->query_until(qr/go/, "\\echo go\nSET application_name = 'pg_dump'; SELECT pg_sleep(600);\n");
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'pg_dump' AND wait_event = 'PgSleep'"), 'something like a dump runs');
becomes('longest_query_seconds', "status = 'ok' AND value = 0", 'a dump is no long statement');
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM dbopt.long_running_queries WHERE kind = 'dump'"), 'the view shows it as what it is');
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('health_walsender');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'dbopt.enabled = off');
$standby->start;
$node->wait_for_catchup($standby);
is($node->safe_psql('postgres', "SELECT count(*) FROM dbopt.long_running_queries WHERE kind NOT IN ('dump', 'autovacuum worker')"), '0', 'walsenders and workers of dbopt are not listed');
is(check('longest_query_seconds', 'value'), '0', 'nor counted');
$standby->stop;

# ---- without statistics of others: skipped, never a false ok ----
$node->safe_psql('postgres', 'CREATE ROLE nobody LOGIN');
my $tiers = $node->safe_psql('postgres', "SET ROLE nobody; SELECT string_agg(DISTINCT status, ',') FROM dbopt.health('ok', 'fast') WHERE check_name IN
	('connections_used_pct', 'role_connections_pct', 'blocked_sessions', 'longest_query_seconds', 'idle_in_transaction_seconds', 'pool_used_pct')");
is($tiers, 'skipped', 'a role without pg_monitor is told nothing');
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump'");

# ---- one row for probes ----
like($node->safe_psql('postgres', 'SELECT status, critical, warning, worst FROM dbopt.health_summary()'), qr/^(ok|warning|critical)\|\d+\|\d+\|/, 'one row');
ok(no_crash($node), 'no backend crashed');
$node->stop;
done_testing();
