# Helpers of the TAP tests.
package Dbopt::Test;
use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
our @EXPORT = qw(dbopt_cluster no_crash);

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

# True if no backend died from a memory fault, an abort or an assertion.
sub no_crash
{
	my $node = shift;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	return $log !~ /terminated by signal (4|6|7|8|11)|TRAP:|PANIC/;
}

1;
