# Rounds of bloat_collect_run: one transaction per relation, largest first, within their time; history is kept
# as long as asked and no longer. The rows of maintenance_runs, too.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('bloat_rounds', 'track_commit_timestamp = on'); # subtransactions share their parent's
$node->start;
sub sql { return $node->safe_psql('postgres', shift); }
sub fails { my ($rc, undef, $err) = $node->psql('postgres', shift); return $rc == 0 ? 'no error' : $err; }
sub background { my $sql = shift; my ($i, $o, $e) = ('', '', '');
	return IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', $sql ], '<', \$i, '>', \$o, '2>', \$e); }
sql(q{CREATE EXTENSION dbopt;
	DO $$ BEGIN FOR i IN 1 .. 12 LOOP
		EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, v text)', i);
		EXECUTE format('INSERT INTO t%s SELECT g, repeat(''x'', 200) FROM generate_series(1, %s) g', i, 12000 * i);
	END LOOP; END $$});

# ---- one transaction per relation ----
my ($rc, $out, $err) = $node->psql('postgres', q{CALL dbopt.bloat_collect_run(min_bytes => 0)});
is($rc, 0, 'a round by CALL') or diag $err;
like($err, qr/NOTICE:  \d+ relations measured, 0 skipped, 0 failed/, 'it says how many were measured');
cmp_ok(sql(q{SELECT count(*) FROM dbopt.bloat WHERE relation::text ~ '^t\d'}), '==', 24, 'all tables and indexes are in the view');
is(sql(q{SELECT count(DISTINCT pg_xact_commit_timestamp(xmin)) = count(*) FROM dbopt._bloat_history}), 't', 'each in a transaction of its own');
is(sql(q{SELECT string_agg(relation::text, ' ' ORDER BY measured_at) FROM dbopt.bloat_history WHERE relation::text ~ '^t\d+$'}),
	't12 t11 t10 t9 t8 t7 t6 t5 t4 t3 t2 t1', 'largest first');
sql(q{TRUNCATE dbopt._bloat_history; SELECT count(*) FROM dbopt.bloat_collect(min_bytes => 0)});
is(sql(q{SELECT count(DISTINCT pg_xact_commit_timestamp(xmin)) || ' ' || (count(*) > 20) FROM dbopt._bloat_history}), '1 true', 'the function form is one statement');

# ---- nobody's dead rows are kept by a round: its snapshot ends with each relation ----
# The round meets 12 locked tables and waits 200 ms for each; what it holds meanwhile is looked at all the time.
my $locker = background(q{BEGIN; LOCK TABLE t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11, t12; SELECT pg_sleep(600)});
$node->poll_query_until('postgres', q{SELECT count(*) = 12 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation::regclass::text ~ '^t\d+$'});
my $round = background(q{CALL dbopt.bloat_collect_run(min_bytes => 1000000)});
my $mine = q{pg_stat_activity WHERE query LIKE 'CALL dbopt.bloat_collect_run%' AND pid <> pg_backend_pid() AND state = 'active'};
$node->poll_query_until('postgres', "SELECT EXISTS (SELECT FROM $mine)");
my %started;
for (1 .. 400)
{
	my $since = sql("SELECT xact_start FROM $mine");
	last if $since eq '' && %started;
	$started{$since} = 1 if $since ne '';
}
$round->finish;
cmp_ok(scalar keys %started, '>=', 3, 'transactions of the round come and go (' . scalar(keys %started) . ' seen)');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE t1%'});
eval { $locker->finish };

# ---- as PostgreSQL would say no ----
like(fails(q{BEGIN; CALL dbopt.bloat_collect_run()}), qr/cannot run inside a transaction block/, 'not inside a transaction block');
like(fails(q{CALL dbopt.bloat_collect_run(keep => '0')}), qr/keep must be longer than nothing/, 'keep must be something');
sql(q{CREATE ROLE stranger LOGIN; GRANT USAGE ON SCHEMA dbopt TO stranger});
(undef, undef, $err) = $node->psql('postgres', q{CALL dbopt.bloat_collect_run()}, extra_params => [ '-U', 'stranger' ]);
like($err, qr/permission denied for procedure/, 'not for everybody');

# ---- bounded time ----
sql(q{TRUNCATE dbopt._bloat_history});
is(sql(q{SELECT string_agg(DISTINCT status || ': ' || detail, ',') FROM dbopt.bloat_collect('0', 0)}), 'skipped: no time left in this round', 'no time: nothing is measured, and it says so');
(undef, undef, $err) = $node->psql('postgres', q{CALL dbopt.bloat_collect_run('0', 0)});
like($err, qr/NOTICE:  0 relations measured, \d+ skipped/, 'by CALL, too');
is(sql(q{SELECT count(*) FROM dbopt._bloat_history}), 0, 'and nothing is stored');

# ---- what was measured long ago comes first, though smaller ----
sql(q{INSERT INTO dbopt._bloat_history SELECT now() - CASE WHEN c.relname = 't3' THEN interval '60 days' ELSE interval '1 hour' END,
	c.oid, 'table', 0, 0, 0, 0, 0, 0, 0 FROM pg_class c WHERE c.relname ~ '^t\d+$'});
is(sql(q{SELECT relation FROM dbopt.bloat_collect(min_bytes => 1000000) LIMIT 1}), 't12_pkey', 'never measured before measured');
is(sql(q{SELECT relation FROM dbopt.bloat_history WHERE measured_at > now() - interval '50 minutes' AND relation::text ~ '^t\d+$' ORDER BY measured_at LIMIT 1}),
	't3', 'longest not measured before largest');

# ---- retention ----
sql(q{TRUNCATE dbopt._bloat_history;
	INSERT INTO dbopt._bloat_history SELECT now() - make_interval(days => d), 't1'::regclass, 'table', 1000 * d, 0, 0, 0, 0, 0, 0 FROM generate_series(1, 120, 10) d;
	INSERT INTO dbopt._bloat_history SELECT now(), 4000000000, 'table', 0, 0, 0, 0, 0, 0, 0});
is(sql(q{SELECT count(*) FROM dbopt.bloat_history}), 13, 'a long history');
sql(q{CALL dbopt.bloat_collect_run(min_bytes => 1000000000000)});
is(sql(q{SELECT count(*) || ' ' || bool_and(measured_at > now() - interval '90 days') || ' ' || bool_and(relid <> 4000000000) FROM dbopt._bloat_history}),
	'9 true true', 'older than 90 days, or of a dropped relation: gone');
sql(q{SELECT count(*) FROM dbopt.bloat_collect(min_bytes => 1000000000000, keep => '25 days')});
is(sql(q{SELECT count(*) FROM dbopt._bloat_history}), 3, 'keep says how long');
sql(q{CALL dbopt.bloat_collect_run(min_bytes => 0)});
is(sql(q{SELECT growth_bytes = size_bytes - 1000 AND growth_over > interval '20 hours' FROM dbopt.bloat WHERE relation = 't1'::regclass}), 't', 'growth against the oldest of the last 7 days');

# ---- the default job ----
$node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type LIKE 'dbopt database worker%'}) or die 'no database worker';
is(sql(q{SELECT command FROM dbopt.schedule_defaults() WHERE job = 'collect_bloat'}), 'CALL dbopt.bloat_collect_run()', 'the default job commits between relations');
sql(q{TRUNCATE dbopt._bloat_history; SELECT dbopt.job_run('collect_bloat')});
ok($node->poll_query_until('postgres', q{SELECT status = 'done' FROM dbopt.job_runs WHERE job = 'collect_bloat' ORDER BY run_id DESC LIMIT 1}), 'it runs');
is(sql(q{SELECT count(DISTINCT pg_xact_commit_timestamp(xmin)) = count(*) AND count(*) > 10 FROM dbopt._bloat_history}), 't', 'one transaction per relation');

# ---- rows of maintenance_runs go after dbopt.maintenance_keep, unless a repair is due ----
sql(q{CALL dbopt.maintenance_run('{analyze}', '{t1,t2}');
	UPDATE dbopt._maintenance_run SET queued_at = now() - interval '400 days' WHERE relation = 'public.t1';
	INSERT INTO dbopt._maintenance_run (relid, relation, action, command, status, queued_at, repaired, table_oid, index_name, invalid_before)
	SELECT 't4_pkey'::regclass, 'public.t4_pkey', 'reindex', '', 'failed', now() - interval '400 days', true, 't4'::regclass, 't4_pkey', '{}'});
sql(q{CALL dbopt.maintenance_run('{cleanup}')});
is(sql(q{SELECT string_agg(relation, ' ') FROM dbopt.maintenance_runs}), 'public.t2', 'a year by default');
sql(q{UPDATE dbopt._maintenance_run SET queued_at = now() - interval '3 days'; SET dbopt.maintenance_keep = 2; CALL dbopt.maintenance_run('{cleanup}')});
is(sql(q{SELECT count(*) FROM dbopt.maintenance_runs}), 0, 'or as long as dbopt.maintenance_keep says');
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
