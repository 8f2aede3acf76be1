# The default jobs in pg_cron: in the same database, and when pg_cron lives in another one.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('scheduler_cron', '');
$node->start;
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'}) eq '0')
{
	$node->stop;
	plan skip_all => 'pg_cron is not installed';
}
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dbopt, pg_cron'\ncron.database_name = 'postgres'\ncron.use_background_workers = on");
$node->restart;
$node->safe_psql('postgres', 'CREATE EXTENSION pg_cron; CREATE EXTENSION dbopt; CREATE DATABASE app');
my $rows = $node->safe_psql('postgres', q{SELECT status, count(*) FROM dbopt.schedule_defaults('pg_cron') GROUP BY 1 ORDER BY 1});
unlike($rows, qr/failed|planned/, 'registered with pg_cron in the same database');
is($node->safe_psql('postgres', q{SELECT schedule FROM cron.job WHERE jobname = 'dbopt_create_partitions'}), '0 1 * * *',
	'pg_cron has the job');
my $count = $node->safe_psql('postgres', q{SELECT count(*) FROM cron.job});
$node->safe_psql('postgres', q{SELECT * FROM dbopt.schedule_defaults('pg_cron')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM cron.job}), $count, 'a second call adds nothing');

$node->safe_psql('app', 'CREATE EXTENSION dbopt');
my $commands = $node->safe_psql('app', q{SELECT command FROM dbopt.schedule_defaults('pg_cron') WHERE status = 'planned'});
like($commands, qr/cron\.schedule_in_database/, 'elsewhere: the statements to run there');
$node->safe_psql('postgres', join(";\n", split(/\n/, $commands)));
is($node->safe_psql('postgres', q{SELECT count(*) > 3 FROM cron.job WHERE database = 'app'}), 't', 'which work there');
unlike($node->safe_psql('app', 'SELECT status FROM dbopt.schedule_defaults()'), qr/failed/, 'the built-in engine beside it');
is($node->safe_psql('app', q{SELECT count(*) FROM dbopt.schedule_defaults() WHERE status = 'done'}), '0', 'a second call keeps what is there');
my ($rc, $out, $err) = $node->psql('app', q{SELECT * FROM dbopt.schedule_defaults('quartz')});
like($err, qr/unknown engine "quartz"/, 'an unknown engine');
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
