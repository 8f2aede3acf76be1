# Helpers of the TAP tests.
package Dbopt::Test;
use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
our @EXPORT = qw(dbopt_cluster no_crash kill_backend);

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

# kill -9 of a backend; returns when the server has noticed it, restarted its processes and serves
# statements again. Until the postmaster notices, a connection succeeds and is ended at once: so wait
# for another checkpointer. Returns the number of processes that got the signal.
sub kill_backend
{
	my ($node, $pid, $db) = @_;
	my $checkpointer = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'};
	my $before = $node->safe_psql($db // 'postgres', $checkpointer);
	my $killed = kill('KILL', $pid) or return 0;
	$node->poll_query_until($db // 'postgres', "SELECT ($checkpointer) IS DISTINCT FROM $before")
		or die 'the server did not come back';
	return $killed;
}

# True if no backend died from a memory fault, an abort or an assertion.
sub no_crash
{
	my $node = shift;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	return $log !~ /terminated by signal (4|6|7|8|11)|TRAP:|PANIC/;
}

1;
