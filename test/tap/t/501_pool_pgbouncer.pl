# A real PgBouncer: idle, saturated, silent, gone; and what the alert rules make of it.
use strict;
use warnings;
use IO::Socket::UNIX;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

chomp(my $pgbouncer = `command -v pgbouncer || ls /usr/sbin/pgbouncer 2>/dev/null`);
plan skip_all => 'PgBouncer is not installed' unless $pgbouncer;

my $node = PostgreSQL::Test::Cluster->new('pool');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dbopt'");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION dbopt');

my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $user = getpwuid($<);
my ($host, $server_port) = ($node->host, $node->port);
PostgreSQL::Test::Utils::append_to_file("$dir/pgb.ini", <<"INI");
[databases]
postgres = host=$host port=$server_port user=$user
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = $dir
auth_type = any
pool_mode = transaction
default_pool_size = 3
stats_users = stats
admin_users = admin
logfile = $dir/log
pidfile = $dir/pid
INI
system($pgbouncer, '-q', '-d', "$dir/pgb.ini") == 0 or plan skip_all => 'PgBouncer does not start';
END { kill 'TERM', slurp_file("$dir/pid") if $dir && -e "$dir/pid"; }

my $conninfo = "host=$dir port=$port user=stats";
is($node->safe_psql('postgres', "SELECT status FROM dbopt.pool_add('b', '$conninfo')"), 'done', 'PgBouncer answers');
is($node->safe_psql('postgres', "SELECT health FROM dbopt.pools"), 'healthy', 'idle is healthy');

# 20 clients for 3 connections
PostgreSQL::Test::Utils::append_to_file("$dir/sleep.sql", "SELECT pg_sleep(0.05)\n");
my $bench = IPC::Run::start(['pgbench', '-n', '-h', $dir, '-p', $port, '-c', 20, '-T', 12, '-f', "$dir/sleep.sql", 'postgres'],
    '>', '/dev/null', '2>', '/dev/null');
$node->poll_query_until('postgres', "SELECT waiting > 10 FROM dbopt.pool_poll('b'), dbopt.pools")
    or die 'never saturated';
$node->safe_psql('postgres', "DELETE FROM dbopt.pool_sample");
$node->safe_psql('postgres', "SELECT dbopt.pool_poll('b')");
sleep 5;
$node->safe_psql('postgres', "SELECT dbopt.pool_poll('b')");
is($node->safe_psql('postgres', 'SELECT used, max_size, utilization_pct FROM dbopt.pools'), '3|3|100', 'saturated');
my $busy = $node->safe_psql('postgres', 'SELECT busy_servers FROM dbopt.pool_advice');
ok(abs($busy - 3) <= 0.3, "busy servers within 10 %: $busy of 3");
is($node->safe_psql('postgres', 'SELECT suggested_size > 3 FROM dbopt.pool_advice'), 't', 'a larger pool is suggested');
$node->safe_psql('postgres', "SELECT dbopt.alert_set('pool_used_pct', for_time => '0')");
# The worker's own round may be under way: then this one is skipped, and its result is the same.
$node->poll_query_until('postgres', "SELECT (SELECT count(*) FROM dbopt.alert_check('fast')) >= 0
    AND EXISTS (SELECT FROM dbopt.alert_event WHERE rule = 'pool_used_pct')") or die 'no alert';
is($node->safe_psql('postgres', "SELECT DISTINCT to_level FROM dbopt.alert_event WHERE rule = 'pool_used_pct' AND from_level = 'ok'"),
    'critical', 'the alert is raised');
$bench->finish;

# paused: clients wait, and it is told why
sub console { my ($command) = @_; $node->command_ok(['psql', '-XAt', '-h', $dir, '-p', $port, '-U', 'admin', '-d', 'pgbouncer', '-c', $command], $command); }
console('PAUSE postgres');
my $waiter = IPC::Run::start(['psql', '-XAt', '-h', $dir, '-p', $port, '-d', 'postgres', '-c', 'SELECT 1'], '>', '/dev/null', '2>', '/dev/null');
ok($node->poll_query_until('postgres', "SELECT waiting = 1 AND max_wait_ms > 0 AND p.health = 'degraded' AND p.detail LIKE '1 databases are paused%'
    FROM dbopt.pool_poll('b'), dbopt.pools p"), 'paused: one client waits');
console('RESUME postgres');
$waiter->finish;
ok($node->poll_query_until('postgres', "SELECT waiting = 0 AND p.health = 'healthy' FROM dbopt.pool_poll('b'), dbopt.pools p"), 'resumed');

# slow: it accepts connections and says nothing for a while
my $pid = slurp_file("$dir/pid") + 0;
kill 'STOP', $pid;
like($node->safe_psql('postgres', "SELECT detail FROM dbopt.pool_poll('b')"), qr/no answer within 1000 ms/, 'stopped: the timeout ends it');
is($node->safe_psql('postgres', 'SELECT health FROM dbopt.pools'), 'unreachable', 'unreachable');
is($node->safe_psql('postgres', "SELECT status FROM dbopt.pool_poll()"), 'skipped', 'the breaker is open');
kill 'CONT', $pid;
ok($node->poll_query_until('postgres', "SELECT status = 'done' FROM dbopt.pool_poll('b')"), 'it answers again');
is($node->safe_psql('postgres', "SELECT p.health, q.failures, q.retry_at IS NULL FROM dbopt.pools p JOIN dbopt.pool q USING (name)"), 'healthy|0|t', 'the breaker is closed');

# gone
kill 'TERM', slurp_file("$dir/pid");
$node->poll_query_until('postgres', "SELECT status = 'failed' FROM dbopt.pool_poll('b')") or die 'still answers';
is($node->safe_psql('postgres', 'SELECT health FROM dbopt.pools'), 'unreachable', 'gone is unreachable');
is($node->safe_psql('postgres', "SELECT status FROM dbopt.health() WHERE check_name = 'pools_unreachable'"), 'critical', 'and critical');

# somebody listens and says nothing
my $silent_port = $port + 1;
my $silent = IO::Socket::UNIX->new(Local => "$dir/.s.PGSQL.$silent_port", Listen => 5) or die $!;
my $started = time;
my $detail = $node->safe_psql('postgres', "SELECT detail FROM dbopt.pool_add('silent', 'host=$dir port=$silent_port user=stats')");
like($detail, qr/no answer within 1000 ms/, 'a silent one ends with the timeout');
cmp_ok(time - $started, '<', 30, 'not with the patience of TCP');
unlike(slurp_file($node->logfile), qr/password=/, 'no password in the log');
$node->stop;
done_testing();
