# Who keeps rows from VACUUM beyond this server: replication slots and standbys. And ages: multixact ids.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $primary = dbopt_cluster('holders', "dbopt.old_transaction = '1h'\nautovacuum_multixact_freeze_max_age = 10000\nwal_receiver_status_interval = 1", allows_streaming => 'logical');
$primary->start;
sub sql { return $primary->safe_psql('postgres', shift); }
sub soon { my $what = shift; $primary->poll_query_until('postgres', "SELECT $what") or diag "never: $what"; return; }
sub session { my ($node, $sql) = @_; my ($i, $o, $e) = ('', '', '');
	return IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', $sql ], '<', \$i, '>', \$o, '2>', \$e); }
sql(q{CREATE EXTENSION dbopt; CREATE TABLE t (id int PRIMARY KEY, v text) WITH (autovacuum_enabled = off);
	INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(1, 30000) g});
soon(q{count(*) > 0 FROM pg_stat_activity WHERE backend_type LIKE 'dbopt database worker%'});
my $plan = q{SELECT blocker FROM dbopt.maintenance_plan() WHERE relation = 't'::regclass AND action = 'vacuum' AND priority = 2};
my $vacuums = q{SELECT vacuum_count FROM pg_stat_all_tables WHERE relid = 't'::regclass};
sub last_run { return sql(q{SELECT status || ': ' || coalesce(detail, '') FROM dbopt.maintenance_runs ORDER BY id DESC LIMIT 1}); }

# ---- multixact ids ----
# A row locked by a transaction and, more strongly, by a subtransaction of it makes one each time.
sql(q{CREATE TABLE locked (id int PRIMARY KEY, v int); INSERT INTO locked SELECT g, 0 FROM generate_series(1, 1000) g;
	CREATE PROCEDURE lock_them(n int) LANGUAGE plpgsql AS $$ BEGIN
		FOR i IN 1 .. n LOOP
			PERFORM FROM locked WHERE id = 1 + i % 1000 FOR KEY SHARE;
			BEGIN UPDATE locked SET v = v + 1 WHERE id = 1 + i % 1000; EXCEPTION WHEN division_by_zero THEN NULL; END;
			IF i % 100 = 0 THEN COMMIT; END IF;
		END LOOP; END $$});
my $ages = q{SELECT count(*) FROM dbopt.maintenance_plan() WHERE relation IN ('t'::regclass, 'locked'::regclass) AND priority = 1 AND reason ~ 'oldest multixact \d{4}'};
is(sql($ages), 0, 'young multixact ids need nothing');
sql(q{CALL lock_them(8000)});
cmp_ok(sql(q{SELECT mxid_age(relminmxid) FROM pg_class WHERE relname = 't'}), '>', 7500, 'multixact ids have grown old');
is(sql($ages), 2, 'the plan freezes them before autovacuum has to');
sql(q{CALL dbopt.maintenance_run('{vacuum}')});
is(sql(q{SELECT count(*) FROM dbopt.maintenance_runs WHERE command = 'VACUUM (FREEZE, SKIP_LOCKED) public.locked' AND status = 'done'}), 1, 'maintenance_run does it');
is(sql($ages), 0, 'and it helps');

# ---- a slot of a standby with feedback ----
$primary->backup('b');
sql(q{SELECT pg_create_physical_replication_slot('the_slot')});
my $standby = PostgreSQL::Test::Cluster->new('holders_standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->append_conf('postgresql.conf', "hot_standby_feedback = on\nprimary_slot_name = 'the_slot'\nmax_standby_streaming_delay = -1");
$standby->start;
$primary->wait_for_catchup($standby);
my $query = session($standby, q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t; SELECT pg_sleep(600)});
soon(q{EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'the_slot' AND xmin IS NOT NULL)});
sql(q{DELETE FROM t WHERE id % 2 = 0; SELECT pg_stat_force_next_flush()});
soon(q{n_dead_tup > 1000 FROM pg_stat_all_tables WHERE relid = 't'::regclass});
soon(q{EXISTS (SELECT FROM dbopt.xmin_holders WHERE kind = 'slot')});
like(sql(q{SELECT kind || ' ' || holder || ': ' || advice FROM dbopt.xmin_holders WHERE kind = 'slot'}), qr/^slot the_slot: let its consumer catch up/, 'a slot holds rows, with what to do');
like(sql($plan), qr/^VACUUM would remove next to nothing: held by slot the_slot/, 'the plan names it');
my $before = sql($vacuums);
sql(q{CALL dbopt.maintenance_run('{vacuum}', '{t}'); });
like(last_run(), qr/^skipped: .*slot the_slot/, 'VACUUM is not run');
is(sql($vacuums), $before, 'not even once');
like(sql(q{SELECT detail FROM dbopt.table_bloat('t') WHERE held_pct > 10}), qr/held by slot the_slot/, 'table_bloat names it, too');

# ---- the standby itself, without a slot ----
$standby->safe_psql('postgres', q{ALTER SYSTEM SET primary_slot_name = ''});
$standby->reload;
soon(q{EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'the_slot' AND NOT active)});
like(sql(q{SELECT advice FROM dbopt.xmin_holders WHERE kind = 'slot'}), qr/if nobody needs it: SELECT pg_drop_replication_slot\('the_slot'\)/, 'a slot nobody uses may be dropped');
sql(q{SELECT pg_drop_replication_slot('the_slot')});
soon(q{EXISTS (SELECT FROM dbopt.xmin_holders WHERE kind = 'standby')});
like(sql(q{SELECT holder || ': ' || scope || ': ' || advice FROM dbopt.xmin_holders WHERE kind = 'standby'}), qr/^\S+: all databases: end the long query on the standby/, 'a standby holds rows');
like(sql($plan), qr/held by standby/, 'the plan names it');
sql(q{CALL dbopt.maintenance_run('{vacuum}', '{t}')});
like(last_run(), qr/^skipped: .*held by standby/, 'VACUUM is not run');
is(sql($vacuums), $before, 'not even once');
$standby->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN ISOLATION%' AND pid <> pg_backend_pid()});
eval { $query->finish };
soon(q{NOT EXISTS (SELECT FROM dbopt.xmin_holders WHERE kind = 'standby')
	OR (SELECT held_pct = 0 FROM dbopt.table_bloat('t', 'exact'))});
soon(q{held_pct = 0 FROM dbopt.table_bloat('t', 'exact')});
sql(q{CALL dbopt.maintenance_run('{vacuum}', '{t}')});
like(last_run(), qr/^done/, 'afterwards VACUUM runs');
is(sql(q{SELECT dead_pct FROM dbopt.table_bloat('t', 'exact')}), '0', 'and removes everything');

# ---- a logical slot holds catalogs only: no reason to leave tables alone ----
sql(q{SELECT pg_create_logical_replication_slot('logical', 'test_decoding')});
sql(q{DELETE FROM t WHERE id % 3 = 0; SELECT pg_stat_force_next_flush()});
$standby->stop; # it would hold the rows for a moment
soon(q{held_pct = 0 FROM dbopt.table_bloat('t', 'exact')});
is(sql(q{SELECT scope FROM dbopt.xmin_holders WHERE holder = 'logical'}), 'system catalogs', 'a logical slot holds the catalogs');
sql(q{CALL dbopt.maintenance_run('{vacuum}', '{t}')});
like(last_run(), qr/^done/, 'VACUUM of a table runs beside it');
sql(q{SELECT pg_drop_replication_slot('logical')});

# ---- REINDEX: one process, with a rest before the next ----
sql(q{SET dbopt.reindex_rest = 1000; CREATE INDEX t_v ON t (v); CALL dbopt.maintenance_run('{reindex}', '{t_pkey,t_v}')});
is(sql(q{SELECT DISTINCT settings::text FROM dbopt.run WHERE command LIKE 'REINDEX%'}), '{lock_timeout=0,max_parallel_maintenance_workers=0}', 'REINDEX has one process and no lock_timeout');
is(sql(q{SELECT bool_and(b.started_at - a.finished_at > 5 * (a.finished_at - a.started_at)) FROM dbopt.run a, dbopt.run b
	WHERE a.command LIKE 'REINDEX%t_pkey' AND b.command LIKE 'REINDEX%t_v'}), 't', 'and rests before the next one');
ok(no_crash($_), 'no crash') for $primary, $standby;
$primary->stop;
done_testing();
