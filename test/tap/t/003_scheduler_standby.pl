# A standby is idle; after promotion it works.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $primary = dbopt_cluster('scheduler_primary', '', allows_streaming => 1);
$primary->start;
$primary->safe_psql('postgres', q{
	CREATE EXTENSION dbopt;
	CREATE TABLE t (at timestamptz DEFAULT clock_timestamp());
	SELECT dbopt.job_add('count', '1 second', 'INSERT INTO t DEFAULT VALUES')});
ok($primary->poll_query_until('postgres', 'SELECT count(*) > 0 FROM t'), 'the job runs on the primary');
$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('scheduler_standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'dbopt%'}), '0',
	'no worker on the standby');
like($standby->safe_psql('postgres', 'SELECT detail FROM dbopt._scheduler_status()'), qr/standby/, 'the status says so');
$primary->stop;
my $before = $standby->safe_psql('postgres', 'SELECT count(*) FROM t');
$standby->promote;
ok($standby->poll_query_until('postgres', "SELECT count(*) > $before FROM t"), 'after promotion the job runs');
is($standby->safe_psql('postgres', 'SELECT dbopt._is_copy()'), 'f', 'a promoted standby is no copy');
ok(no_crash($standby), 'no crash');
$standby->stop;
done_testing();
