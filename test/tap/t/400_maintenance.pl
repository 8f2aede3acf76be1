# Maintenance under hostile conditions: what cannot help is not run, what fails leaves nothing behind,
# and nothing of others is touched.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);
use Dbopt::Test;

my $node = dbopt_cluster('maintenance', "max_prepared_transactions = 5\ndbopt.old_transaction = '1h'");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION dbopt;
	CREATE EXTENSION pg_buffercache;
	CREATE TABLE t AS SELECT g AS id, md5(g::text) AS v FROM generate_series(1, 50000) g;
	CREATE INDEX t_id ON t (id);
	CREATE INDEX foreign_ccnew ON t (v);
	UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'foreign_ccnew'::regclass;
});
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type LIKE 'dbopt database worker%'})
  or die 'no database worker';
sleep 1;

sub leftovers { $node->safe_psql('postgres', q{SELECT count(*) FROM pg_index WHERE NOT indisvalid AND indexrelid <> 'foreign_ccnew'::regclass}) }
sub last_run { $node->safe_psql('postgres', q{SELECT status || ': ' || coalesce(detail, '') FROM dbopt.maintenance_runs ORDER BY id DESC LIMIT 1}) }

# ---- nothing in the way ----
$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{reindex}', '{t_id}')});
like(last_run(), qr/^done/, 'a REINDEX in peace');
is($node->safe_psql('postgres', q{SELECT after_bytes > 0 AND before_bytes > 0 AND predicted_bytes > 0 FROM dbopt.maintenance_runs ORDER BY id DESC LIMIT 1}), 't', 'sizes are written down');
is(leftovers(), 0, 'nothing is left behind');

# ---- a VACUUM that could remove nothing ----
$node->safe_psql('postgres', q{BEGIN; INSERT INTO t VALUES (-1, 'x'); PREPARE TRANSACTION 'forgotten'});
$node->safe_psql('postgres', q{DELETE FROM t WHERE id % 2 = 0; SELECT pg_stat_force_next_flush()});
$node->poll_query_until('postgres', q{SELECT n_dead_tup > 1000 FROM pg_stat_all_tables WHERE relid = 't'::regclass});
like($node->safe_psql('postgres', q{SELECT blocker FROM dbopt.maintenance_plan() WHERE relation = 't'::regclass AND action = 'vacuum'}),
	qr/prepared transaction forgotten/, 'the plan names the prepared transaction');
my $before = $node->safe_psql('postgres', q{SELECT vacuum_count FROM pg_stat_all_tables WHERE relid = 't'::regclass});
$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{vacuum}')}) for 1 .. 3;
$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{vacuum}', '{t}')});
is($node->safe_psql('postgres', q{SELECT vacuum_count FROM pg_stat_all_tables WHERE relid = 't'::regclass}), $before, 'no futile VACUUM');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dbopt.run WHERE command LIKE 'VACUUM%'}), 0, 'none was even queued');
like(last_run(), qr/^skipped: .*forgotten/, 'the run says why');
like($node->safe_psql('postgres', q{SELECT advice FROM dbopt.xmin_holders WHERE kind = 'prepared transaction'}), qr/ROLLBACK PREPARED 'forgotten'/, 'xmin_holders says what to do');
$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{reindex}', '{t_id}')});
like(last_run(), qr/^skipped: would wait for prepared transaction forgotten/, 'no REINDEX CONCURRENTLY that would wait for it');
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'forgotten'});
$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{vacuum}', '{t}')});
like(last_run(), qr/^done/, 'without it, VACUUM runs');
cmp_ok($node->safe_psql('postgres', q{SELECT dead_pct FROM dbopt.table_bloat('t', 'exact')}), '==', 0, 'and removes everything');

# ---- REINDEX failures ----
my $failures = $ENV{DBOPT_REINDEX_FAILURES} || 6;
my $failed = 0;
for my $n (1 .. $failures)
{
	# A writer that a REINDEX CONCURRENTLY has to wait for, younger than dbopt.old_transaction.
	my $holder = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c',
		q{BEGIN; INSERT INTO t VALUES (0, 'w'); SELECT pg_sleep(1.6); COMMIT} ], '>', \my $out, '2>', \my $err);
	$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 't'::regclass AND mode = 'RowExclusiveLock')});
	if ($n % 2)
	{    # ended by max_duration
		$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{reindex}', '{t_id}', '1 s')});
	}
	else
	{    # its worker is killed
		my $call = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c',
			q{CALL dbopt.maintenance_run('{reindex}', '{t_id}', '20 s')} ], '>', \my $o, '2>', \my $e);
		$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_class WHERE relname ~ '^t_id_ccnew')});
		$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'REINDEX%' AND pid <> pg_backend_pid()});
		$call->finish;
	}
	$holder->finish;
	$failed++ if last_run() !~ /^done/;
}
is($failed, $failures, "$failures REINDEX runs were made to fail");
$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{cleanup}')});
is(leftovers(), 0, 'and left nothing behind');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 'foreign_ccnew'}), 1, 'an invalid index of somebody else stays');
is($node->safe_psql('postgres', q{SELECT indisvalid FROM pg_index WHERE indexrelid = 't_id'::regclass}), 't', 'the index itself is well');

# ---- a crash in the middle ----
my $holder = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c',
	q{BEGIN; INSERT INTO t VALUES (0, 'w'); SELECT pg_sleep(60); COMMIT} ], '>', \my $out, '2>', \my $err);
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 't'::regclass AND mode = 'RowExclusiveLock')});
my $call = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c',
	q{CALL dbopt.maintenance_run('{reindex}', '{t_id}')} ], '>', \my $o, '2>', \my $e);
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_class WHERE relname ~ '^t_id_ccnew')});
$node->stop('immediate');
eval { $_->finish } for $holder, $call;
$node->start;
$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{cleanup}')});
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_index WHERE NOT indisvalid AND indexrelid <> 'foreign_ccnew'::regclass}), 'after a crash the leftover is removed');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname = 'foreign_ccnew'}), 1, 'and only that');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dbopt.maintenance_runs WHERE status IN ('queued', 'running')}), 0, 'no run stays open');

# ---- as a job: the scheduler calls the same procedure ----
$node->safe_psql('postgres', q{DELETE FROM t WHERE id % 3 = 0; SELECT dbopt.job_add('weekly', '@yearly', $$CALL dbopt.maintenance_run('{vacuum,analyze}', '{t}')$$)});
$node->safe_psql('postgres', q{SELECT dbopt.job_run('weekly')});
ok($node->poll_query_until('postgres', q{SELECT status = 'done' FROM dbopt.maintenance_runs WHERE action = 'analyze' ORDER BY id DESC LIMIT 1}), 'a job carries it out');

# ---- writers wait for the clean-up no longer than its lock_timeout, however long a reader is in the way ----
$node->safe_psql('postgres', q{
	CREATE INDEX t_id_ccnew ON t (id);
	UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_id_ccnew'::regclass;
	INSERT INTO dbopt._maintenance_run (relid, relation, action, command, status, table_oid, index_name, invalid_before)
	VALUES ('t_id'::regclass, 'public.t_id', 'reindex', '', 'failed', 't'::regclass, 't_id', '{}')});
my $reader = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c',
	q{BEGIN; SELECT 1 FROM t LIMIT 1; SELECT pg_sleep(3); COMMIT} ], '>', \my $ro, '2>', \my $re);
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 't'::regclass AND mode = 'AccessShareLock')});
my $cleaner = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c',
	q{CALL dbopt.maintenance_run('{cleanup}')} ], '>', \my $co, '2>', \my $ce);
my $refused = 0;
for (1 .. 20)
{
	my ($rc) = $node->psql('postgres', q{SET lock_timeout = '2s'; INSERT INTO t VALUES (7, 'w')});
	$refused++ if $rc != 0;
	usleep(100_000);
}
$_->finish for $reader, $cleaner;
is($refused, 0, 'no writer waited for a reader through our clean-up');
is(leftovers(), 0, 'and the clean-up got through in the end');

# ---- an owner's functions never run as the superuser ----
$node->safe_psql('postgres', q{
	CREATE ROLE mallory;
	GRANT CREATE, USAGE ON SCHEMA public TO mallory;
	SET ROLE mallory;
	CREATE TABLE spied (who text);
	CREATE FUNCTION note() RETURNS void LANGUAGE sql AS $$ INSERT INTO public.spied VALUES (current_user) $$;
	CREATE FUNCTION spy(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN PERFORM public.note(); RETURN $1; END $$;
	CREATE TABLE trap (id int);
	INSERT INTO trap SELECT generate_series(1, 50);
	CREATE INDEX trap_i ON trap (public.spy(id));
	TRUNCATE spied});
$node->safe_psql('postgres', q{SELECT dbopt.table_bloat('trap'), dbopt.index_bloat('trap_i'), dbopt.index_bloat('trap_i', 'exact');
	SELECT count(*) FROM dbopt.bloat_collect(min_bytes => 0); SELECT count(*) FROM dbopt.maintenance_plan()});
is($node->safe_psql('postgres', 'SELECT count(*) FROM spied'), 0, 'measuring runs no function of an owner');
$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{vacuum,analyze,reindex}', '{trap}')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM spied WHERE who <> 'mallory'}), 0, 'maintenance runs them as the owner only');

# ---- measuring waits for nobody and evicts nothing ----
$node->append_conf('postgresql.conf', "shared_buffers = '64MB'");
$node->safe_psql('postgres', q{
	CREATE TABLE hot AS SELECT g AS id, repeat('x', 500) AS v FROM generate_series(1, 30000) g;
	CREATE TABLE cold AS SELECT g AS id, repeat('y', 500) AS v FROM generate_series(1, 200000) g;
	VACUUM hot; VACUUM cold});
$node->restart;
$node->safe_psql('postgres', q{SET enable_seqscan = on; SELECT sum(id) FROM hot; CREATE EXTENSION IF NOT EXISTS pg_prewarm; SELECT pg_prewarm('hot')});
my $cached = q{SELECT count(*) FROM pg_buffercache WHERE relfilenode = pg_relation_filenode('hot') AND reldatabase = (SELECT oid FROM pg_database WHERE datname = 'postgres')};
my $warm = $node->safe_psql('postgres', $cached);
cmp_ok($warm, '>=', 1500, "a table is in the cache ($warm pages)");
$node->safe_psql('postgres', q{SELECT dbopt.table_bloat('cold', 'exact'), dbopt.table_bloat('cold')});
cmp_ok($node->safe_psql('postgres', $cached), '>=', $warm - 40, 'and still is after a larger one was measured');
my $locker = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c',
	q{BEGIN; LOCK TABLE cold IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(6); COMMIT} ], '>', \my $lo, '2>', \my $le);
$node->poll_query_until('postgres', q{SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'cold'::regclass AND mode = 'AccessExclusiveLock' AND granted)});
is($node->safe_psql('postgres', q{SELECT status || ': ' || detail FROM dbopt.table_bloat('cold')}), 'skipped: locked by another session', 'a locked table is skipped');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_locks WHERE relation = 'cold'::regclass}), 1, 'the locker is still at it: nobody waited for it');
$locker->finish;
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
