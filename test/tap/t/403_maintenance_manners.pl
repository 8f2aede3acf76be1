# Maintenance with manners: throttled, two relations at a time, out of the way of autovacuum that prevents
# wraparound, within the window of its job; and wraparound itself is planned for.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('maintenance_manners', "dbopt.old_transaction = '1h'\nautovacuum_freeze_max_age = 100000\nautovacuum_naptime = 1s");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION dbopt;
	CREATE TABLE a AS SELECT g AS id, repeat('x', 200) AS v FROM generate_series(1, 60000) g;
	CREATE TABLE b AS SELECT * FROM a;
	CREATE INDEX b_id ON b (id);
	CREATE TABLE seen (id int PRIMARY KEY, v text) WITH (autovacuum_enabled = off);
	INSERT INTO seen SELECT g, repeat('x', 200) FROM generate_series(1, 30000) g;
	ANALYZE;
	DELETE FROM a WHERE id % 2 = 0; DELETE FROM b WHERE id % 2 = 0;
	SET enable_seqscan = off; SELECT count(*) FROM seen WHERE id < 100;
	SELECT pg_stat_force_next_flush()});
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type LIKE 'dbopt database worker%'}) or die 'no database worker';
sub session { my $sql = shift; my ($i, $o, $e) = ('', '', '');
	return IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), map { ('-c', $_) } (ref $sql ? @$sql : $sql) ], '<', \$i, '>', \$o, '2>', \$e); }
sub soon { my ($sql, $name) = @_; ok($node->poll_query_until('postgres', "SELECT $sql"), $name); return; }

# ---- throttled, two at a time ----
my $call = session([ q{SET dbopt.maintenance_cost_delay = 100}, q{CALL dbopt.maintenance_run('{vacuum}', '{a,b}')} ]);
soon(q{count(*) = 2 FROM pg_stat_activity WHERE query LIKE 'VACUUM%' AND backend_type LIKE 'dbopt%' AND state = 'active'}, 'two tables at a time');
soon(q{EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'VACUUM%' AND wait_event = 'VacuumDelay')}, 'with pauses');
$call->finish;
is($node->safe_psql('postgres', q{SELECT string_agg(relation || ' ' || status, ',' ORDER BY relation) FROM dbopt.maintenance_runs}), 'public.a done,public.b done', 'both done');
is($node->safe_psql('postgres', q{SELECT DISTINCT settings::text FROM dbopt.run WHERE command LIKE 'VACUUM%'}), '{lock_timeout=500,vacuum_cost_delay=100.000000}', 'under a short lock_timeout');
is($node->safe_psql('postgres', q{SELECT bool_and(dead_before_bytes > 1000000 AND dead_predicted_bytes = 0 AND dead_after_bytes < 100000) FROM dbopt.maintenance_runs}), 't', 'dead bytes before, predicted and after are written down');
$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{analyze}', '{a,b,a}')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM dbopt.maintenance_runs WHERE action = 'analyze' AND status = 'done'}), 2, 'one table asked for twice is done once');

# ---- the visibility map for index-only scans ----
$node->safe_psql('postgres', q{INSERT INTO seen SELECT g, repeat('x', 200) FROM generate_series(30001, 45000) g; SELECT pg_stat_force_next_flush()});
soon(q{EXISTS (SELECT FROM pg_stat_all_indexes WHERE relname = 'seen' AND idx_scan > 0)}, 'an index is in use');
my $visible = q{SELECT count(*) FROM dbopt.maintenance_plan() WHERE relation = 'seen'::regclass AND reason LIKE '%all-visible%'};
is($node->safe_psql('postgres', $visible), 1, 'index-only scans: VACUUM is planned for the visibility map');
$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{vacuum}', '{seen}')});
is($node->safe_psql('postgres', $visible), 0, 'and not again after it');

# ---- a role without rights ----
$node->safe_psql('postgres', q{CREATE ROLE limited LOGIN; GRANT USAGE ON SCHEMA dbopt TO limited;
	GRANT EXECUTE ON PROCEDURE dbopt.maintenance_run TO limited});
my $before = $node->safe_psql('postgres', q{SELECT vacuum_count FROM pg_stat_all_tables WHERE relname = 'a'});
for my $sql (q{SELECT * FROM dbopt.table_bloat('a')}, q{SELECT * FROM dbopt.index_bloat('b_id')}, q{SELECT * FROM dbopt.bloat_collect()},
	q{SELECT * FROM dbopt.maintenance_plan()}, q{SELECT * FROM dbopt.maintenance_runs}, q{SELECT * FROM dbopt.xmin_holders})
{
	my (undef, undef, $err) = $node->psql('postgres', $sql, extra_params => [ '-U', 'limited' ]);
	like($err, qr/permission denied/, "not for everybody: $sql");
}
$node->psql('postgres', q{CALL dbopt.maintenance_run('{vacuum}', '{a}')}, extra_params => [ '-U', 'limited' ]);
is($node->safe_psql('postgres', q{SELECT status || ': ' || detail FROM dbopt.maintenance_runs ORDER BY id DESC LIMIT 1}), 'skipped: role limited may not maintain it', 'who may not maintain a table does not');
is($node->safe_psql('postgres', q{SELECT vacuum_count FROM pg_stat_all_tables WHERE relname = 'a'}), $before, 'and nothing was done');

my $blocker = q{BEGIN; INSERT INTO b VALUES (0, 'w'); SELECT pg_sleep(300); COMMIT};

# ---- the window of a job ends its work ----
my $writer = session($blocker);
soon(q{EXISTS (SELECT FROM pg_locks WHERE relation = 'b'::regclass AND mode = 'RowExclusiveLock')}, 'a writer is in the way');
$node->safe_psql('postgres', q{SELECT dbopt.job_add('night', '@yearly', $$CALL dbopt.maintenance_run('{reindex}', '{b_id}')$$,
	window_start => (localtime - interval '1 hour')::time(0), window_end => (localtime + interval '20 s')::time(0))});
$node->safe_psql('postgres', q{SELECT dbopt.job_run('night')});
soon(q{EXISTS (SELECT FROM dbopt.maintenance_runs WHERE relation = 'public.b_id' AND status NOT IN ('queued', 'running'))}, 'a REINDEX that waits ends with the window');
like($node->safe_psql('postgres', q{SELECT status || ' ' || detail FROM dbopt.maintenance_runs WHERE relation = 'public.b_id' ORDER BY id DESC LIMIT 1}), qr/failed cancelled|skipped no time left|failed leftovers stay/, 'and says so');
sub end_writer { $node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; INSERT INTO b%'});
	eval { $writer->finish }; return; }
end_writer();
$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{cleanup}')});
soon(q{count(*) = 0 FROM pg_index WHERE NOT indisvalid}, 'the next run removes what it left');

# ---- wraparound: planned early, and nobody is kept from it ----
$node->safe_psql('postgres', q{CREATE TABLE ids (i int); DO $$ BEGIN FOR i IN 1 .. 80000 LOOP
	BEGIN INSERT INTO ids VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$});
like($node->safe_psql('postgres', q{SELECT command || ': ' || reason FROM dbopt.maintenance_plan() WHERE relation = 'a'::regclass AND priority = 1}),
	qr/^VACUUM \(FREEZE, SKIP_LOCKED\) public\.a: oldest transaction id is \d+ old/, 'near wraparound: VACUUM FREEZE first');
$writer = session($blocker);
soon(q{EXISTS (SELECT FROM pg_locks WHERE relation = 'b'::regclass AND mode = 'RowExclusiveLock')}, 'a writer is in the way');
$call = session(q{CALL dbopt.maintenance_run('{reindex}', '{b_id}')});
soon(q{EXISTS (SELECT FROM pg_class WHERE relname ~ '^b_id_ccnew')}, 'a REINDEX is under way');
$node->append_conf('postgresql.conf', 'autovacuum = on');
$node->reload;
$node->safe_psql('postgres', q{DO $$ BEGIN FOR i IN 1 .. 40000 LOOP
	BEGIN INSERT INTO ids VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$});
soon(q{EXISTS (SELECT FROM dbopt.maintenance_runs WHERE relation = 'public.b_id' AND detail LIKE '%autovacuum to prevent wraparound%')}, 'it makes way for autovacuum that prevents wraparound');
$call->finish;
is($node->safe_psql('postgres', q{SELECT status FROM dbopt.maintenance_runs WHERE relation = 'public.b_id' ORDER BY id DESC LIMIT 1}), 'cancelled', 'as a cancelled run');
end_writer();
soon(q{last_autovacuum IS NOT NULL FROM pg_stat_all_tables WHERE relname = 'b'}, 'and autovacuum got its table');
$node->safe_psql('postgres', q{CALL dbopt.maintenance_run('{cleanup}')});
soon(q{count(*) = 0 FROM pg_index WHERE NOT indisvalid}, 'nothing is left behind');
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
