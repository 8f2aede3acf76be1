# Calls that act on many objects hand each of them to a worker with a short transaction of its own; what
# would destroy data in the background is held.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('scheduler_handoff', "dbopt.max_workers = 4\ndbopt.partition_lock_wait = 2\ntrack_commit_timestamp = on\n");
$node->start;

sub sql { return $node->safe_psql('postgres', shift); }

sub loud
{
	my ($rc, $out, $err) = $node->psql('postgres', shift);
	is($rc, 0, 'no error') or diag($err);
	return ($out, $err);
}

sub comes
{
	my ($q, $name) = @_;
	return ok($node->poll_query_until('postgres', $q), $name);
}

sql(q{CREATE EXTENSION dbopt; CREATE ROLE boss LOGIN; GRANT CREATE, USAGE ON SCHEMA public TO boss});
comes(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dbopt database worker'}, 'a worker serves');

# A set that has nothing made ahead: its partitions are gone. The room's own rounds would repair that in
# seconds; they leave alone for a minute what had a problem.
sub set_with_work
{
	my ($name) = @_;
	return qq{CREATE TABLE $name (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at);
		SELECT count(*) FROM dbopt.partition_manage('$name', '1 month', premake => 2);
		UPDATE dbopt.partition_config SET last_problem = 'test', last_round = now() + interval '1 day'
			WHERE parent = '$name'::regclass;
		DO \$\$ DECLARE p regclass; BEGIN FOR p IN SELECT inhrelid FROM pg_inherits WHERE inhparent = '$name'::regclass
			LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END \$\$;};
}
my $transactions = q{SELECT count(DISTINCT pg_xact_commit_timestamp(c.xmin)) FROM pg_class c JOIN pg_inherits h ON h.inhrelid = c.oid
	WHERE h.inhparent = ANY ('{%s}'::regclass[]::oid[])};

# ---- paused: in the caller's transaction, and it says so ----
sql(set_with_work($_)) for qw(a b);
sql(q{SELECT dbopt.pause('partition')});
my ($out, $err) = loud(q{SELECT parent, status, count(*) FROM dbopt.partition_maintain() GROUP BY 1, 2 ORDER BY 1});
is($out, "a|done|3\nb|done|3", 'a paused room: the call does it all itself');
like($err, qr/2 partitioned tables are maintained in this one transaction.*paused/s, 'and says what that costs');
is(sql(sprintf($transactions, 'a,b')), '1', 'one transaction');
is(sql(q{SELECT count(*) FROM dbopt.run}), '0', 'no run');

# ---- handed over ----
sql(q{SELECT dbopt.resume('partition')});
my $call = q{SELECT parent, status, count(*) FROM dbopt.partition_maintain() GROUP BY 1, 2 ORDER BY 1};
sql('DROP TABLE a, b; ' . join(' ', map { set_with_work($_) } qw(c d e)));
($out, $err) = loud($call);
like($out, qr/^c\|done\|3\nd\|done\|3\ne\|done\|3$/m, 'each set has its rows');
unlike($err, qr/one transaction/, 'no word of costs');
is(sql(sprintf($transactions, 'c,d,e')), '3', 'each set in a transaction of its own');
is(sql(q{SELECT string_agg(status || ' ' || object, ',' ORDER BY object::text) FROM dbopt.job_runs
	WHERE area = 'partition'}), 'done c,done d,done e', 'a run for each');

# In a transaction block it stays in it.
sql(set_with_work('f'));
($out, $err) = loud(q{BEGIN; SELECT status FROM dbopt.partition_maintain()
	WHERE parent = 'f'::regclass LIMIT 1; ROLLBACK;
	SELECT count(*) FROM pg_inherits WHERE inhparent = 'f'::regclass});
like($out, qr/done\n0$/, 'in a transaction block ROLLBACK takes everything back');

# One that is locked by somebody stops nobody else.
sql(set_with_work('g'));
my $other = $node->background_psql('postgres');
$other->query_safe('BEGIN; LOCK TABLE g IN ACCESS EXCLUSIVE MODE');
($out, $err) = loud(qq{SET dbopt.partition_lock_wait = 1; $call});
like($out, qr/^f\|done\|3$/m, 'another session holds one set: the others are done');
like($out, qr/^g\|skipped\|\d$/m, 'and that one is skipped');
$other->query_safe('ROLLBACK');
$other->quit;

# Many sets: as many runs as workers.
sql(join(' ', map { set_with_work("many_$_") } 1 .. 12));
sql('DELETE FROM dbopt.run');
($out, $err) = loud($call);
is(() = $out =~ /^many_\d+\|done\|3$/mg, 12, 'twelve sets');
cmp_ok(sql(q{SELECT count(*) FROM dbopt.job_runs WHERE area = 'partition'}), '<=', 5, 'by a few runs');
is(sql(sprintf($transactions, join(',', map { "many_$_" } 1 .. 12))), '12', 'each in its own transaction');

# Only one's own.
sql(set_with_work($_)) for qw(of_boss not_of_boss);
sql('ALTER TABLE of_boss OWNER TO boss');
($out, $err) = loud("SET ROLE boss; $call");
like($out, qr/^of_boss\|done\|3$/m, 'an owner has his sets maintained');
like($out, qr/^not_of_boss\|skipped\|1$/m, 'and no others');
is(sql(q{SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relname LIKE 'of\_boss\_%'}), 'boss', 'they are his');

# ---- matviews ----
sql(q{SELECT dbopt.pause('matview');
	CREATE TABLE base AS SELECT i FROM generate_series(1, 100) i;
	CREATE MATERIALIZED VIEW m1 AS SELECT i, pg_sleep(0.01)::text AS s FROM base LIMIT 100;
	CREATE MATERIALIZED VIEW m2 AS SELECT i + 1 AS i, pg_sleep(0.01)::text AS s FROM base LIMIT 100;
	CREATE MATERIALIZED VIEW m3 AS SELECT count(*) FROM m1;
	CREATE MATERIALIZED VIEW bad AS SELECT 1 / (i - 1000) AS x FROM base;
	CREATE MATERIALIZED VIEW after_bad AS SELECT count(*) FROM bad;
	INSERT INTO base VALUES (1000);
	SELECT count(*) FROM unnest('{m1,m2,m3,bad,after_bad}'::regclass[]) m, dbopt.matview_manage(m, '1 day', 'full');
	DELETE FROM dbopt.run});
($out, $err) = loud(q{SELECT dbopt.resume('matview'); SELECT matview, status FROM dbopt.matview_refresh_all('full') ORDER BY 1;
	SELECT dbopt.pause('matview')});
like($out, qr/m1\|done\nm2\|done\nm3\|done\nbad\|failed\nafter_bad\|skipped/, 'refresh_all: one fails, its child is skipped')
	or diag($out);
is(sql('SELECT (SELECT count FROM m3) = (SELECT count(*) FROM m1)'), 't', 'parents first');
is(sql(q{SELECT bool_or(a.started_at < b.finished_at AND b.started_at < a.finished_at) FROM dbopt.job_runs a, dbopt.job_runs b
	WHERE a.object = 'm1'::regclass AND b.object = 'm2'::regclass}), 't', 'independent ones beside each other');
is(sql(q{SELECT string_agg(DISTINCT result->0->>2, ',') FROM dbopt.run WHERE result <> '[]'}), 'done,failed', 'the runs keep their rows');

# ---- the call goes away: so do its runs ----
# Four workers: four slow views run, two wait.
sql(q{SELECT dbopt.pause('matview'); DELETE FROM dbopt.run;
	SELECT count(*) FROM unnest('{m1,m2,m3,bad,after_bad}'::regclass[]) m, dbopt.matview_unmanage(m);
	DO $$BEGIN FOR i IN 1 .. 6 LOOP
		EXECUTE format('CREATE MATERIALIZED VIEW slow%s AS SELECT pg_sleep(300)::text AS s WITH NO DATA', i);
		PERFORM dbopt.matview_manage(format('slow%s', i)::regclass, '1 day', 'full'); END LOOP; END$$});
my %ends = (cancelled => 'pg_cancel_backend', terminated => 'pg_terminate_backend');
for my $how (sort keys %ends)
{
	sql(q{DELETE FROM dbopt.run});
	my $caller = $node->background_psql('postgres', on_error_stop => 0);
	$caller->query_until(qr/begun/, qq{\\echo begun\nSELECT dbopt.resume('matview'); SELECT matview, status FROM dbopt.matview_refresh_all('full');\n});
	comes(q{SELECT count(*) FILTER (WHERE status = 'running') = 4 AND count(*) FILTER (WHERE status = 'queued') = 2 FROM dbopt.run},
		"a call to be $how: four run, two are queued");
	sql(qq{SELECT $ends{$how}(pid) FROM pg_stat_activity WHERE query LIKE '%refresh_all%' AND pid <> pg_backend_pid()});
	comes(q{SELECT count(*) = 6 AND bool_and(status = 'cancelled') FROM dbopt.run}, "$how: what ran is stopped, what was queued is withdrawn");
	is(sql(q{SELECT count(*) FROM dbopt.job_runs WHERE message = 'the call that waited for it has ended' AND started_at IS NULL}), '2', 'and says why');
	sql(q{SELECT dbopt.pause('matview')});
	$caller->{run}->finish if $how eq 'terminated';
	$caller->quit if $how eq 'cancelled';
}
sql('DROP MATERIALIZED VIEW ' . join(', ', map { "slow$_" } 1 .. 6));
# Numbers of virtual transactions come again after a restart: a caller of before it is not the one of today.
my $today = $node->background_psql('postgres');
$today->query_safe(q{BEGIN; INSERT INTO base VALUES (7)});
sql(q{DELETE FROM dbopt.run; INSERT INTO dbopt.run (area, command, run_as, waiter)
	SELECT 'jobs', 'CREATE TABLE not_wanted ()', 'postgres', '1 ' || virtualtransaction FROM pg_locks l JOIN pg_stat_activity a USING (pid)
	WHERE locktype = 'virtualxid' AND state = 'idle in transaction'; SELECT dbopt._announce()});
comes(q{SELECT count(*) = 1 AND bool_and(status = 'cancelled') FROM dbopt.run}, 'a run whose caller went with the last start is withdrawn');
$today->query_safe('ROLLBACK');
$today->quit;

# ---- this session is in its worker's way: it says so instead of waiting for itself ----
sql(q{CREATE FUNCTION taken() RETURNS int VOLATILE LANGUAGE sql AS 'SELECT pg_advisory_xact_lock(77); SELECT 1';
	CREATE MATERIALIZED VIEW behind AS SELECT taken() WITH NO DATA; CREATE MATERIALIZED VIEW free AS SELECT 1 AS i;
	SELECT count(*) FROM unnest('{behind,free}'::regclass[]) m, dbopt.matview_manage(m, '1 day', 'full')});
($out, $err) = loud(q{SELECT pg_advisory_lock(77); SELECT dbopt.resume('matview');
	SELECT matview, status, reason FROM dbopt.matview_refresh_all('full') ORDER BY 1;
	SELECT dbopt.pause('matview')});
like($out, qr/^behind\|skipped\|run \d+: this session holds a lock that the worker needs$/m, 'a lock of the caller itself') or diag($out);
like($out, qr/^free\|done/m, 'the others are done');
comes(q{SELECT count(*) = 0 FROM dbopt.run WHERE status IN ('queued', 'running')}, 'and nothing waits behind it');

# ---- holds ----
sql(q{DELETE FROM dbopt.partition_config;
	CREATE TABLE old (at timestamptz NOT NULL) PARTITION BY RANGE (at);
	CREATE TABLE old_1 PARTITION OF old FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
	CREATE TABLE old_2 PARTITION OF old FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
	SELECT count(*) FROM dbopt.partition_manage('old', '1 month', retention => '1 year', retention_mode => 'drop');
	UPDATE dbopt.partition_config SET last_success = now() - interval '8 days'});
comes(q{SELECT count(*) = 1 FROM dbopt.holds WHERE object = 'public.old' AND reason LIKE '%7 days%'},
	'an old backup: the background holds back');
comes(q{SELECT count(*) = 1 FROM dbopt.status() WHERE component = 'hold' AND state = 'held' AND detail LIKE '%public.old%'},
	'status() says so');
comes(q{SELECT status = 'warning' FROM dbopt.health() WHERE check_name = 'held_actions'}, 'it is an alert');
like(slurp_file($node->logfile), qr/WARNING:  dbopt: held: drop of 2 partitions of public.old/, 'and in the log');
# A job that sweeps over all sets is background, too.
sql(q{SELECT dbopt.job_add('sweep', '@yearly', 'SELECT * FROM dbopt.partition_maintain()')});
my $run = sql(q{SELECT dbopt.job_run('sweep')});
sql("CALL dbopt.wait($run)");
is(sql(q{SELECT count(*) FROM pg_inherits WHERE inhrelid = ANY ('{old_1,old_2}'::regclass[]::oid[])}), '2', 'a sweeping job holds back, too');
is(sql(q{SELECT string_agg(status, ',') FROM dbopt.partition_maintain('old') WHERE action = 'drop'}), 'done,done',
	'a call that names the table acts');
is(sql(q{SELECT count(*) FROM dbopt.holds}), '0', 'and the hold is over');
comes(q{SELECT status = 'ok' FROM dbopt.health() WHERE check_name = 'held_actions'}, 'no alert any more');
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
