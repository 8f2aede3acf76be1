# Helpers of the TAP tests.
package Dbopt::Test;
use strict;
use warnings;
use Exporter 'import';
use IPC::Run ();
use PostgreSQL::Test::Cluster;
our @EXPORT = qw(dbopt_cluster no_crash kill_backend dies_at);

# A cluster that preloads dbopt, with settings for quick tests.
sub dbopt_cluster
{
	my ($name, $conf, %init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(%init);
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'dbopt'
max_worker_processes = 32
autovacuum = off
$conf
CONF
	return $node;
}

my $checkpointer = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'};

# Waits until a crash is over: until the postmaster notices, a connection succeeds and is ended at once,
# so wait for another checkpointer. Not with poll_query_until: it feeds psql through a pipe, and a psql
# that is refused and gone before it reads makes the whole test die of EPIPE.
sub wait_for_restart
{
	my ($node, $before, $db) = @_;
	for (1 .. 1800)
	{
		my ($out, $err) = ('', '');
		my $now = IPC::Run::run(['psql', '-XqAt', '-d', $node->connstr($db // 'postgres'), '-c', $checkpointer],
			'<', '/dev/null', '>', \$out, '2>', \$err) ? $out : '';
		chomp $now;
		return 1 if $now ne '' && $now ne $before;
		select(undef, undef, undef, 0.1);
	}
	die 'the server did not come back';
}

# kill -9 of a backend; returns when the server has noticed it, restarted its processes and serves
# statements again: the number of processes that got the signal.
sub kill_backend
{
	my ($node, $pid, $db) = @_;
	my $before = $node->safe_psql($db // 'postgres', $checkpointer);
	my $killed = kill('KILL', $pid) or return 0;
	wait_for_restart($node, $before, $db);
	return $killed;
}

# Runs a script whose session kills itself at the named step (dbopt.debug_crash_point); returns as
# kill_backend does. True if the session was lost.
sub dies_at
{
	my ($node, $point, $sql, $db) = @_;
	my $before = $node->safe_psql($db // 'postgres', $checkpointer);
	my ($out, $err) = ('', '');
	my $rc = $node->psql($db // 'postgres', "SET client_min_messages = error; SET dbopt.debug_crash_point = '$point';\n$sql", stdout => \$out, stderr => \$err);
	return 0 unless $rc != 0 && $err =~ /server closed|connection|terminat/i;
	wait_for_restart($node, $before, $db);
	return 1;
}

# True if no backend died from a memory fault, an abort or an assertion.
sub no_crash
{
	my $node = shift;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	return $log !~ /terminated by signal (4|6|7|8|11)|TRAP:|PANIC/;
}

1;
