# Owners of databases and jobs who mean harm, or only set odd things: what is theirs stays theirs, and our workers go on.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('scheduler_hostile', "dbopt.retry_database_base = 10\n");
$node->start;

sub sql { my ($q, $db) = @_; return $node->safe_psql($db // 'postgres', $q); }

sub fails
{
	my ($q, $like, $name) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $q);
	return like($err, $like, $name);
}

sub comes
{
	my ($q, $name, $db) = @_;
	return ok($node->poll_query_until($db // 'postgres', $q), $name) || diag($node->safe_psql($db // 'postgres', $q));
}

# ---- an owner's ALTER DATABASE … SET reaches our superuser processes: they keep to their own settings ----
sql('CREATE ROLE mallory LOGIN');
sql('CREATE DATABASE trap OWNER mallory');
sql(q{
	CREATE EXTENSION dbopt;
	SET ROLE mallory;
	CREATE SCHEMA evil;
	CREATE TABLE evil.proof (who name, what text);
	GRANT ALL ON SCHEMA evil TO PUBLIC;
	GRANT ALL ON evil.proof TO PUBLIC;
	CREATE FUNCTION evil.note(what text) RETURNS text LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO evil.proof VALUES (current_user, what); RETURN what; EXCEPTION WHEN OTHERS THEN RETURN what; END$$;
	CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT evil.note($1)';
	CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$SELECT evil.note('clock'); SELECT now()$$;
	CREATE FUNCTION evil.current_database() RETURNS name LANGUAGE sql AS $$SELECT evil.note('database')::name$$;
	CREATE FUNCTION evil.has_database_privilege(oid, name, text) RETURNS boolean LANGUAGE sql
		AS $$SELECT evil.note('privilege') IS NOT NULL$$;
	ALTER DATABASE trap SET search_path = evil, pg_catalog;
	ALTER DATABASE trap SET role = mallory;
	ALTER DATABASE trap SET default_transaction_read_only = on;
	ALTER DATABASE trap SET default_transaction_isolation = 'serializable';
	ALTER DATABASE trap SET lock_timeout = 1;
	ALTER DATABASE trap SET statement_timeout = 1}, 'trap');
$node->restart;
$ENV{PGOPTIONS} = '-c role=none -c search_path=pg_catalog -c default_transaction_read_only=off -c statement_timeout=0 -c lock_timeout=0';
sql("SELECT dbopt.job_add('tick', '1 second', 'SELECT current_user')", 'trap');
comes("SELECT successes > 2 FROM dbopt.jobs WHERE name = 'tick'", 'jobs run in spite of what the database is set to', 'trap');
comes("SELECT count(*) = 1 FROM dbopt._scheduler_status() WHERE component = 'rooms worker' AND state = 'ok'", 'rooms are served', 'trap');
is(sql("SELECT DISTINCT what FROM evil.proof WHERE who <> 'mallory'", 'trap'), '', 'nobody ran the owner\'s functions for us');
sql('DROP DATABASE trap');
delete $ENV{PGOPTIONS};

# ---- the whole server read-only by default, and hasty ----
sql('CREATE EXTENSION dbopt; CREATE TABLE seen (who name DEFAULT current_user, at timestamptz DEFAULT clock_timestamp())');
$node->append_conf('postgresql.conf', "default_transaction_read_only = on\nlock_timeout = 1\ndefault_transaction_isolation = serializable");
$node->restart;
my $may_write = 'SET default_transaction_read_only = off; SET lock_timeout = 0; SET default_transaction_isolation = "read committed";';
sql("$may_write SELECT dbopt.job_add('reads', '1 second', 'SELECT 1'), dbopt.job_add('writes', '1 second', 'INSERT INTO seen DEFAULT VALUES')");
comes(q{SELECT successes > 1 FROM dbopt.jobs WHERE name = 'reads'}, 'a server that is read-only by default: jobs run');
comes(q{SELECT count(*) > 0 FROM dbopt.job_runs WHERE job = 'writes' AND sqlstate = '25006'}, 'and are as read-only as their role');
$node->append_conf('postgresql.conf', "default_transaction_read_only = off\nlock_timeout = 0\ndefault_transaction_isolation = 'read committed'");
$node->reload;
sql("$may_write SELECT dbopt.job_remove(name) FROM dbopt.jobs");

# ---- nobody takes over another one's job ----
sql('CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE team LOGIN;
	GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbopt TO mallory, alice, bob');
fails(q{SELECT dbopt.job_add('theirs', '@yearly', 'SELECT 1'); SET ROLE mallory;
	SELECT dbopt._job_add('theirs', '@yearly', 'ALTER ROLE mallory SUPERUSER', 'jobs')}, qr/permission denied for job "theirs"/,
	'not by the function behind schedule_defaults()');
fails(q{SET ROLE mallory; SELECT dbopt.job_alter('theirs', command => 'ALTER ROLE mallory SUPERUSER')}, qr/permission denied/, 'not by job_alter');
fails(q{SET ROLE mallory; SELECT dbopt.job_add('theirs', '@yearly', 'ALTER ROLE mallory SUPERUSER')}, qr/permission denied/, 'not by job_add');

# The superuser adds a job in a long transaction; someone adds one of the same name meanwhile.
my $super = $node->background_psql('postgres');
$super->query_safe(q{BEGIN; SELECT dbopt.job_add('race', '@yearly', 'SELECT 1')});
my $thief = $node->background_psql('postgres', on_error_stop => 0);
$thief->query_until(qr/begun/, qq{SET ROLE mallory;\n\\echo begun\nSELECT dbopt.job_add('race', '\@yearly', 'ALTER ROLE mallory SUPERUSER');\n\\echo over\n});
comes(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%race%'}, 'a job of the same name waits');
$super->query_safe('COMMIT');
$super->quit;
comes(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%race%'}, 'until the other one is there');
$thief->quit;
is(sql(q{SELECT owner = CURRENT_USER::regrole AND command = 'SELECT 1' FROM dbopt.jobs WHERE name = 'race'}), 't', 'and does not take it over');

# Two who may change a job change different things of it at the same time: both hold.
my $first = $node->background_psql('postgres');
$first->query_safe(q{BEGIN; SELECT dbopt.job_alter('race', priority => 3)});
my $second = $node->background_psql('postgres');
$second->query_until(qr/begun/, qq{\\echo begun\nSELECT dbopt.job_alter('race', schedule => '\@monthly');\n});
comes(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%race%'}, 'a second change waits');
$first->query_safe('COMMIT');
$first->quit;
$second->quit;
is(sql(q{SELECT priority || ' ' || schedule FROM dbopt.jobs WHERE name = 'race'}), '3 @monthly', 'and undoes nothing of the first');

# What was changed first and committed last is noticed, too.
sql(q{SELECT dbopt.job_add('late', '@yearly', 'SELECT 1')});
$first = $node->background_psql('postgres');
$first->query_safe(q{BEGIN; SELECT dbopt.job_alter('late', schedule => '1 second')});
sql(q{SELECT dbopt.job_alter('race', priority => 4)});
sleep 1;
$first->query_safe('COMMIT');
$first->quit;
comes(q{SELECT successes > 0 FROM dbopt.jobs WHERE name = 'late'}, 'the change that was committed last is in force');

# A member of the owner's role may change the job; it stays the owner's.
sql(q{GRANT alice TO bob; SET ROLE alice; SELECT dbopt.job_add('of alice', '@yearly', 'SELECT 1')});
sql(q{SET ROLE bob; SELECT dbopt.job_add('of alice', '@yearly', 'INSERT INTO seen DEFAULT VALUES')});
is(sql(q{SELECT owner FROM dbopt.jobs WHERE name = 'of alice'}), 'alice', 'a member changes a job: it stays its owner\'s');

# ---- roles that lose what a job needs ----
sql(q{REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; GRANT CONNECT ON DATABASE postgres TO alice, mallory;
	ALTER ROLE alice SET statement_timeout = '300ms'; ALTER ROLE alice SET "my.word" = 'kept';
	SET ROLE alice;
	SELECT dbopt.job_add('slow', '@yearly', 'SELECT pg_sleep(600)', retry_class => 'none'),
		dbopt.job_add('word', '@yearly', $$DO 'BEGIN ASSERT current_setting(''my.word'') = ''kept''; END'$$, retry_class => 'none'),
		dbopt.job_run('slow'), dbopt.job_run('word')});
comes(q{SELECT status = 'failed' AND sqlstate = '57014' FROM dbopt.job_runs WHERE job = 'slow'}, 'ALTER ROLE SET statement_timeout holds in jobs');
comes(q{SELECT status = 'done' FROM dbopt.job_runs WHERE job = 'word'}, 'and so do other settings of the role');
sql(q{REVOKE CONNECT ON DATABASE postgres FROM alice; SELECT dbopt.job_run('word')});
comes(q{SELECT status = 'failed' AND sqlstate = '42501' AND message LIKE 'permission denied for database%' FROM dbopt.job_runs
	WHERE job = 'word' ORDER BY run_id DESC LIMIT 1}, 'without CONNECT the run says so');
comes(q{SELECT successes > 3 FROM dbopt.jobs WHERE name = 'late'}, 'the others run on');

# ---- what a session leaves behind stays with it, also in the reserved worker ----
sql(q{SELECT dbopt.job_add('leaves', '1 second', $$DO 'BEGIN SET work_mem = ''77MB''; SET my.word = ''left'';
		CREATE TEMP TABLE left_over (i int); PERFORM pg_advisory_lock(5); END'$$),
	dbopt.job_add('finds', '1 second', $$DO 'BEGIN ASSERT current_setting(''work_mem'') <> ''77MB''
		AND coalesce(current_setting(''my.word'', true), '''') = '''' AND to_regclass(''pg_temp.left_over'') IS NULL
		AND NOT EXISTS (SELECT FROM pg_locks WHERE locktype = ''advisory'' AND objid = 5); END'$$),
	dbopt.job_add('prepares', '1 second', 'PREPARE p AS SELECT 1'), dbopt.job_add('notifies', '1 second', 'NOTIFY x'),
	dbopt.job_add('becomes', '1 second', 'SET SESSION AUTHORIZATION mallory'),
	dbopt.job_add('listens', '1 second', 'LISTEN x')});
comes(q{SELECT bool_and(successes > 3) FROM dbopt.jobs WHERE name IN ('leaves', 'finds', 'prepares', 'notifies', 'becomes')},
	'jobs that set, make, lock, prepare, become somebody else');
is(sql(q{SELECT sum(failures) FROM dbopt.jobs WHERE name IN ('leaves', 'finds', 'prepares', 'notifies', 'becomes')}), '0', 'leave nothing to the next one');
comes(q{SELECT count(*) > 0 FROM dbopt.job_runs WHERE job = 'listens' AND status = 'failed'}, 'LISTEN has nobody to listen');
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
