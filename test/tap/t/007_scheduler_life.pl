# What jobs and workers live through: priorities, a bounded history, terminated workers, an open breaker and a
# crash, pauses, a server without preload.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('scheduler_life', "dbopt.max_workers = 1\ndbopt.history_rows = 100\ndbopt.breaker_cooldown = 3600\n");
$node->start;

sub sql { return $node->safe_psql('postgres', shift); }

sub comes
{
	my ($q, $name) = @_;
	return ok($node->poll_query_until('postgres', $q), $name);
}
my $up = q{SELECT count(*) = 3 FROM pg_stat_activity
	WHERE backend_type IN ('dbopt launcher', 'dbopt database worker', 'dbopt rooms worker')};
sql('CREATE EXTENSION dbopt');
comes($up, 'the workers are up');

# ---- priorities ----
sql(q{SELECT dbopt.job_add('long', '@yearly', 'SELECT pg_sleep(2)'), dbopt.job_add('low', '@yearly', 'SELECT 1'),
	dbopt.job_add('high', '@yearly', 'SELECT 1', priority => 5), dbopt.job_run('long')});
comes(q{SELECT count(*) = 1 FROM dbopt.job_runs WHERE job = 'long' AND status = 'running'}, 'the only slot is taken');
sql(q{SELECT dbopt.job_run('low'), dbopt.job_run('high')});
comes(q{SELECT count(*) = 3 FROM dbopt.job_runs WHERE status = 'done'}, 'all three run');
is(sql(q{SELECT string_agg(job, ' ' ORDER BY started_at) FROM dbopt.job_runs}), 'long high low', 'the higher priority first');

# ---- whoever is terminated comes back ----
for my $type ('dbopt launcher', 'dbopt database worker', 'dbopt rooms worker')
{
	my $pid = sql("SELECT pg_terminate_backend(pid), pid FROM pg_stat_activity WHERE backend_type = '$type'");
	$pid =~ s/.*\|//;
	comes("SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = '$type' AND pid <> $pid", "$type, terminated, comes back");
}

# ---- an open breaker survives a crash, and the history is bounded ----
$node->append_conf('postgresql.conf', 'dbopt.breaker_failures = 1');
$node->reload;
sql(q{SELECT dbopt.job_add('fails', '1 second', 'SELECT 1/0')});
comes(q{SELECT breaker = 'open' FROM dbopt.jobs WHERE name = 'fails'}, 'a breaker opens');
sql(q{INSERT INTO dbopt.run (command, run_as, status, finished_at) SELECT 'SELECT 1', 'postgres', 'done', now()
	FROM generate_series(1, 3000);
	INSERT INTO dbopt.run (command, run_as, status, finished_at) SELECT 'SELECT 1 AS of_age', 'postgres', 'done', now() - i * interval '1 day'
	FROM generate_series(28, 33) i; CHECKPOINT});
$node->stop('immediate');
$node->start;
comes($up, 'after a crash the workers are up');
is(sql(q{SELECT breaker || ' ' || tripped FROM dbopt.jobs WHERE name = 'fails'}), 'open 1', 'the breaker is still open');
comes(q{SELECT count(*) <= 110 FROM dbopt.run}, 'dbopt.history_rows bounds the history');
comes(q{SELECT count(*) = 2 AND min(finished_at) > now() - interval '30 days' FROM dbopt.run WHERE command LIKE '%of_age'},
	'and dbopt.history_age by age, the youngest rows, too');
sql(q{SELECT dbopt.job_reset('fails')});
comes(q{SELECT failures = 2 FROM dbopt.jobs WHERE name = 'fails'}, 'job_reset lets it run again');
sql(q{SELECT dbopt.job_remove('fails')});

# ---- pauses ----
sql(q{SELECT dbopt.pause('jobs'), dbopt.pause('partition')});
is(sql('SELECT string_agg(area, $$ $$ ORDER BY area) FROM dbopt.paused_area'), 'jobs partition', 'rooms are paused');
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT dbopt.pause('partitionz')});
like($err, qr/ERROR.*no room "partitionz".*advisor, bloat/s, 'a name that no room has is not passed over');
sql(q{SELECT dbopt.job_add('tick', '1 second', 'SELECT 1')});
sleep 2;
is(sql(q{SELECT state || ' ' || successes FROM dbopt.jobs WHERE name = 'tick'}), 'paused 0', 'a paused room does nothing');
is(sql(q{SELECT count(*) FROM dbopt.status() WHERE component = 'pause'}), '2', 'status() says so');
sql(q{SELECT dbopt.resume('jobs'), dbopt.resume('partition')});
comes(q{SELECT successes > 0 FROM dbopt.jobs WHERE name = 'tick'}, 'resumed, it goes on');

# ---- roles that cannot log in ----
sql('CREATE ROLE group_role NOLOGIN; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbopt TO group_role');
($rc, $out, $err) = $node->psql('postgres', q{SET ROLE group_role; SELECT dbopt.job_add('of a group', '1 second', 'SELECT 1') > 0});
if (sql('SHOW server_version_num') < 170000)
{
	like($err, qr/not permitted to log in.*HINT:.*LOGIN/s, 'before 17 a NOLOGIN role cannot have a job, and hears why');
}
else
{
	is($out, 't', 'a NOLOGIN role may have a job');
}

# ---- without preload ----
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
like(sql(q{SELECT detail FROM dbopt.status() WHERE component = 'preload'}), qr/shared_preload_libraries = 'dbopt'/,
	'without preload status() has the line to add');
($rc, $out, $err) = $node->psql('postgres', q{SELECT dbopt.job_add('later', '@daily', 'SELECT 1') > 0});
is("$out$err", 't', 'a job can be added');
($rc, $out, $err) = $node->psql('postgres', q{
	CREATE TABLE a (at timestamptz NOT NULL) PARTITION BY RANGE (at); CREATE TABLE b (at timestamptz NOT NULL) PARTITION BY RANGE (at);
	SELECT count(*) FROM dbopt.partition_manage('a', '1 day'), dbopt.partition_manage('b', '1 day') x;
	SELECT dbopt.partition_manage('a', '1 day', premake => 5), dbopt.partition_manage('b', '1 day', premake => 5);
	SELECT count(*) FROM dbopt.partition_maintain() WHERE status = 'failed'});
is($rc, 0, 'calls over many objects work in the caller\'s transaction') or diag($err);
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
