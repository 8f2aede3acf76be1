# Databases come, go, are copied and renamed with our workers connected; jobs that fail, hang or whose
# role is gone hurt only themselves.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('scheduler_db', "dbopt.max_workers = 3\n");
$node->start;

sub sql { my ($db, $q) = @_; return $node->safe_psql($db, $q); }

sub comes
{
	my ($db, $q, $name) = @_;
	return ok($node->poll_query_until($db, $q), $name);
}

sub serves
{
	my ($db, $name) = @_;
	return comes('postgres', "SELECT count(*) = 1 FROM pg_stat_activity
		WHERE datname = '$db' AND backend_type = 'dbopt database worker'", $name);
}

# ---- found by itself ----
sql('postgres', 'CREATE ROLE boss LOGIN CREATEDB');
sql('postgres', "CREATE DATABASE $_") for qw(one two three);
sql($_, 'CREATE EXTENSION dbopt') for qw(postgres one two three);
serves($_, "$_ has a worker") for qw(postgres one two three);
is(sql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE datname IN ('template1', 'template0')"), '0',
	'no worker stays where there is no extension');

# ---- DROP DATABASE, with our workers connected ----
sql('one', q{SELECT dbopt.job_add('sleep', '1 second', 'SELECT pg_sleep(60)')});
comes('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'one' AND backend_type = 'dbopt job worker'",
	'a long job runs');
sql('postgres', 'CREATE ROLE nobody LOGIN');
my ($rc, $out, $err) = $node->psql('postgres', 'SET ROLE nobody; DROP DATABASE one');
like($err, qr/must be owner/, 'a stranger gets the plain error');
is(sql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE datname = 'one' AND backend_type = 'dbopt job worker'"),
	'1', 'and disturbs nothing');
sql('postgres', 'ALTER DATABASE one OWNER TO boss');
($rc, $out, $err) = $node->psql('postgres', 'SET ROLE boss; DROP DATABASE one');
is("$rc$err", '0', 'DROP DATABASE by its owner, not a superuser');
sql('postgres', 'ALTER DATABASE two OWNER TO boss');
($rc, $out, $err) = $node->psql('postgres', 'SET ROLE boss; DROP DATABASE two WITH (FORCE)');
is("$rc$err", '0', 'DROP DATABASE WITH (FORCE) by its owner');

# ---- a copy is paused ----
sql('three', q{
	CREATE TABLE t (at timestamptz DEFAULT clock_timestamp());
	SELECT dbopt.job_add('count', '1 second', 'INSERT INTO t DEFAULT VALUES')});
comes('three', 'SELECT count(*) > 0 FROM t', 'a job runs in the original');
# Work that waits or runs while the copy is made.
sql('three', q{SELECT dbopt.pause('advisor');
	INSERT INTO dbopt.run (area, command, run_as, retry_class) VALUES ('advisor', 'CREATE TABLE queued_there ()', 'postgres', 'default');
	INSERT INTO dbopt.run (area, command, run_as, status, cleanup, retry_class)
		VALUES ('advisor', 'SELECT 1', 'postgres', 'running', 'CREATE TABLE cleaned_up ()', 'default')});
($rc, $out, $err) = $node->psql('postgres', 'CREATE DATABASE copy TEMPLATE three');
is("$rc$err", '0', 'CREATE DATABASE TEMPLATE');
serves('three', 'the worker of the original is back');
serves('copy', 'the copy has a worker');
is(sql('copy', "SELECT state FROM dbopt.jobs WHERE name = 'count'"), 'paused (copied database)',
	'its jobs are paused');
like(sql('copy', 'SELECT state FROM dbopt._scheduler_status()'), qr/copied/, 'the status says so');
comes('copy', q{SELECT count(*) = 2 FROM dbopt.run WHERE area = 'advisor' AND message LIKE '%copy of%'
	AND status IN ('cancelled', 'interrupted')}, 'work that the copy brought along is withdrawn');
is(sql('copy', q{SELECT count(*) FROM dbopt.run WHERE area = 'advisor'}), '2', 'and neither tried again nor cleaned up after');
sql('copy', q{SELECT dbopt.resume('advisor')});
my $before = sql('copy', 'SELECT count(*) FROM t');
my $there = sql('three', 'SELECT count(*) FROM t');
comes('three', "SELECT count(*) > $there + 2 FROM t", 'the original goes on');
is(sql('copy', 'SELECT count(*) FROM t'), $before, 'the copy does not');
sql('copy', 'SELECT dbopt.confirm_database()');
comes('copy', "SELECT count(*) > $before FROM t", 'until confirm_database()');
is(sql('copy', q{SELECT to_regclass('queued_there') IS NULL AND to_regclass('cleaned_up') IS NULL}), 't', 'and only its own work then');
sql('three', q{SELECT dbopt.resume('advisor')});
comes('three', q{SELECT to_regclass('queued_there') IS NOT NULL}, 'the original does its work');

# ---- RENAME, SET TABLESPACE ----
sql('copy', q{SELECT dbopt.job_remove('count')});
comes('copy', q{SELECT count(*) = 0 FROM dbopt.run WHERE status = 'running'}, 'no job runs');
($rc, $out, $err) = $node->psql('postgres', 'ALTER DATABASE copy RENAME TO copied');
is("$rc$err", '0', 'ALTER DATABASE RENAME');
serves('copied', 'the renamed database has a worker');
is(sql('copied', 'SELECT dbopt._is_copy()'), 'f', 'and is still itself');
my $space = PostgreSQL::Test::Utils::tempdir();
sql('postgres', "CREATE TABLESPACE other LOCATION '$space'");
($rc, $out, $err) = $node->psql('postgres', 'ALTER DATABASE copied SET TABLESPACE other');
is("$rc$err", '0', 'ALTER DATABASE SET TABLESPACE');
serves('copied', 'the moved database has a worker');
($rc, $out, $err) = $node->psql('postgres', 'ALTER DATABASE copied RENAME TO three');
like($err, qr/already exists/, 'a command that fails');
serves('copied', 'gives the worker back, too');

# ---- DROP EXTENSION ----
sql('copied', 'DROP EXTENSION dbopt');
comes('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'copied'", 'DROP EXTENSION: the worker goes');
sql('copied', 'CREATE EXTENSION dbopt');
serves('copied', 'and comes again');
sql('postgres', 'DROP DATABASE copied');

# ---- bad jobs hurt themselves alone ----
sql('postgres', 'CREATE ROLE tmp LOGIN; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbopt TO tmp');
sql('postgres', q{
	SELECT dbopt.job_add('good', '1 second', 'SELECT 1');
	SELECT dbopt.job_add('fails', '1 second', 'SELECT 1/0');
	SELECT dbopt.job_add('hangs', '1 second', 'SELECT pg_sleep(1000)', max_runtime => '1 s');
	SET ROLE tmp;
	SELECT dbopt.job_add('of tmp', '1 second', 'SELECT 1')});
comes('postgres', q{SELECT successes > 0 FROM dbopt.jobs WHERE name = 'of tmp'}, 'a job runs as its owner');
sql('postgres', 'DROP OWNED BY tmp; DROP ROLE tmp');
comes('postgres', q{SELECT count(*) > 0 FROM dbopt.job_runs WHERE job = 'of tmp' AND sqlstate = '42704'},
	'a dropped role: its job fails');
comes('postgres', q{SELECT breaker <> 'closed' FROM dbopt.jobs WHERE name = 'fails'}, 'a failing job opens its breaker');
comes('postgres', q{SELECT count(*) > 0 FROM dbopt.job_runs WHERE job = 'hangs' AND status = 'failed'
	AND sqlstate = '57014' AND message LIKE '%max_runtime%'}, 'a hanging one is cancelled after max_runtime');
my $good = sql('postgres', q{SELECT successes FROM dbopt.jobs WHERE name = 'good'});
comes('postgres', "SELECT successes > $good + 2 FROM dbopt.jobs WHERE name = 'good'", 'the good one goes on');
is(sql('postgres', q{SELECT failures FROM dbopt.jobs WHERE name = 'good'}), '0', 'without a failure');
sql('postgres', q{SELECT dbopt.job_reset('fails')});
comes('postgres', q{SELECT tripped > 1 FROM dbopt.jobs WHERE name = 'fails'}, 'job_reset lets it fail again');
sql('postgres', q{SELECT dbopt.job_remove(name) FROM dbopt.jobs WHERE name <> 'good'});

# ---- cancel, top level, wait ----
sql('postgres', q{SELECT dbopt.job_add('long', '@yearly', 'SELECT pg_sleep(1000)')});
my $run = sql('postgres', q{SELECT dbopt.job_run('long')});
comes('postgres', "SELECT status = 'running' FROM dbopt.job_runs WHERE run_id = $run", 'a run by hand runs');
is(sql('postgres', q{SELECT dbopt.job_cancel('long')}), 't', 'job_cancel');
comes('postgres', "SELECT status = 'cancelled' FROM dbopt.job_runs WHERE run_id = $run", 'and is cancelled');
sql('postgres', 'CREATE TABLE big AS SELECT i FROM generate_series(1, 1000) i');
for my $command ('VACUUM (ANALYZE) big', 'CREATE INDEX CONCURRENTLY big_i ON big (i)',
	'REINDEX INDEX CONCURRENTLY big_i', 'DROP INDEX CONCURRENTLY big_i')
{
	sql('postgres', "SELECT dbopt.job_add('top', '\@yearly', '$command')");
	my $id = sql('postgres', q{SELECT dbopt.job_run('top')});
	sql('postgres', "CALL dbopt.wait($id)");
	is(sql('postgres', "SELECT status FROM dbopt.job_runs WHERE run_id = $id"), 'done', $command);
}
$run = sql('postgres', q{SELECT dbopt.job_add('div', '@yearly', 'SELECT 1/0'); SELECT dbopt.job_run('div')});
$run =~ s/.*\n//s;
($rc, $out, $err) = $node->psql('postgres', "\\set VERBOSITY verbose\nCALL dbopt.wait($run)");
like($err, qr/22012.*division by zero/s, 'waiting for a failed run raises its error');
($rc, $out, $err) = $node->psql('postgres', "BEGIN; CALL dbopt.wait($run)");
like($err, qr/transaction block/, 'no wait in a transaction block');

# A job that waits for queued work gets it, even where the job fills the only slot.
$node->append_conf('postgresql.conf', 'dbopt.max_workers = 1');
$node->reload;
sql('postgres', q{DELETE FROM big; SELECT dbopt.job_add('maintain', '@yearly',
	$$CALL dbopt.maintenance_run(actions => '{vacuum,analyze}', relations => '{big}')$$)});
$run = sql('postgres', q{SELECT dbopt.job_run('maintain')});
comes('postgres', "SELECT status = 'done' FROM dbopt.job_runs WHERE run_id = $run", 'a job that waits for queued work');
$node->append_conf('postgresql.conf', 'dbopt.max_workers = 3');
$node->reload;

# ---- dbopt.enabled ----
$node->append_conf('postgresql.conf', 'dbopt.enabled = off');
$node->reload;
comes('postgres', q{SELECT count(*) = 0 FROM dbopt.run WHERE status = 'running' AND started_at > clock_timestamp() - interval '2 s'},
	'dbopt.enabled = off');
my $stopped = sql('postgres', q{SELECT successes FROM dbopt.jobs WHERE name = 'good'});
sleep 2;
is(sql('postgres', q{SELECT successes FROM dbopt.jobs WHERE name = 'good'}), $stopped, 'stops the jobs');
$node->append_conf('postgresql.conf', 'dbopt.enabled = on');
$node->reload;
comes('postgres', "SELECT successes > $stopped FROM dbopt.jobs WHERE name = 'good'", 'on again: they run');

# ---- max_worker_processes exhausted ----
# The server's own launcher, ours, the database worker and the rooms worker leave two for jobs.
sql('postgres', 'DROP DATABASE three');
$node->append_conf('postgresql.conf', "max_worker_processes = 6\ndbopt.max_workers = 10\nmax_parallel_workers = 0");
$node->restart;
serves('postgres', 'few worker processes: the database worker is up');
sql('postgres', q{SELECT dbopt.job_add('l' || i, '1 second', 'SELECT pg_sleep(3)') FROM generate_series(1, 6) i});
comes('postgres', q{SELECT count(*) = 1 FROM dbopt._scheduler_status() WHERE component = 'max_worker_processes'
	AND state = 'exhausted'}, 'the status says that max_worker_processes is exhausted');
comes('postgres', q{SELECT count(*) = 6 FROM dbopt.jobs WHERE name LIKE 'l_' AND successes > 0}, 'and all jobs get their turn');
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
