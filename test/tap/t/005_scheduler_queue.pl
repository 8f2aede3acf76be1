# The queue: one run of an object at a time, windows, whose messages are whose, a calm DROP EXTENSION.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('scheduler_queue', "dbopt.max_workers = 6\n");
$node->start;

sub sql { return $node->safe_psql('postgres', shift); }

sub comes
{
	my ($q, $name) = @_;
	return ok($node->poll_query_until('postgres', $q), $name);
}

sql('CREATE EXTENSION dbopt; CREATE ROLE anna LOGIN; CREATE ROLE berta LOGIN; CREATE ROLE watcher LOGIN IN ROLE pg_monitor');
comes(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dbopt database worker'}, 'a worker serves');

# ---- one run of an object at a time ----
# Partial indexes: two such builds beside each other on one table deadlock.
sql(q{
	CREATE TABLE big AS SELECT i, i % 10 AS j, i % 7 AS k FROM generate_series(1, 200000) i;
	CREATE TABLE other AS SELECT i FROM generate_series(1, 1000) i;
	CREATE INDEX other_i ON other (i)});
sql(q{INSERT INTO dbopt.run (area, command, object, run_as) SELECT 'advisor',
	format('CREATE INDEX CONCURRENTLY big_%s ON big (%s) WHERE i > %s', n, (ARRAY['i', 'j', 'k'])[1 + n % 3], n),
	'big'::regclass, 'postgres' FROM generate_series(1, 6) n;
	INSERT INTO dbopt.run (area, command, object, run_as) VALUES
	('maintenance', 'VACUUM big', 'big'::regclass, 'postgres'),
	('maintenance', 'REINDEX INDEX CONCURRENTLY other_i', 'other_i'::regclass, 'postgres'),
	('maintenance', 'VACUUM other', 'other'::regclass, 'postgres'),
	('jobs', 'SELECT pg_sleep(1)', NULL, 'postgres'), ('jobs', 'SELECT pg_sleep(1)', NULL, 'postgres');
	SELECT dbopt._announce()});
comes(q{SELECT count(*) = 0 FROM dbopt.run WHERE status IN ('queued', 'running')}, 'all runs end');
is(sql(q{SELECT string_agg(format('%s: %s', command, message), '; ') FROM dbopt.run WHERE status <> 'done'}), '',
	'all succeed');
my $overlaps = q{SELECT count(*) FROM dbopt.run a JOIN dbopt.run b ON a.run_id < b.run_id
	AND a.started_at < b.finished_at AND b.started_at < a.finished_at WHERE %s};
is(sql(sprintf($overlaps, q{a.object = 'big'::regclass AND b.object = 'big'::regclass})), '0',
	'runs of one table never overlap');
is(sql(sprintf($overlaps, q{a.command LIKE '%other%' AND b.command LIKE '%other%'})), '0',
	'an index counts as its table');
is(sql(sprintf($overlaps, q{a.object IS NULL AND b.object IS NULL})), '1', 'runs without an object do overlap');
is(sql(q{SELECT count(*) FROM pg_index WHERE NOT indisvalid}), '0', 'no invalid index is left');

# ---- a failed run's message ----
my $run = sql(q{INSERT INTO dbopt.run (command, run_as)
	VALUES ('DO $$BEGIN RAISE EXCEPTION ''the secret is 42''; END$$', 'anna') RETURNING run_id});
sql('SELECT dbopt._announce()');
comes("SELECT status = 'failed' FROM dbopt.run WHERE run_id = $run", 'a run of anna fails');
for my $who (['anna', 1], ['watcher', 1], ['postgres', 1], ['berta', 0])
{
	my ($rc, $out, $err) = $node->psql('postgres', "CALL dbopt.wait($run)", extra_params => [ '-U', $who->[0] ]);
	like($err, qr/run $run failed/, "$who->[0] waits and learns that it failed");
	($who->[1] ? \&like : \&unlike)->($err, qr/secret/, "$who->[0] " . ($who->[1] ? 'sees' : 'does not see') . ' why');
}

# ---- windows: outside of it a run is postponed ----
sql(q{SELECT dbopt.job_add('night', '0 12 * * *', 'SELECT 1', timezone => 'UTC', window_start => '22:00',
	window_end => '06:00')});
is(sql(q{SELECT (next_run AT TIME ZONE 'UTC')::time FROM dbopt.jobs WHERE name = 'night'}), '22:00:00',
	'due at noon, allowed at night: the next run is at 22:00');
# A window that opened an hour ago, and one that closed a minute ago.
sql(q{SELECT dbopt.job_add('open', '1 second', 'SELECT 1', timezone => 'UTC',
		window_start => (now() AT TIME ZONE 'UTC' - interval '1 hour')::time,
		window_end => (now() AT TIME ZONE 'UTC' + interval '1 hour')::time),
	dbopt.job_add('shut', '1 second', 'SELECT 1', timezone => 'UTC',
		window_start => (now() AT TIME ZONE 'UTC' - interval '2 hours')::time,
		window_end => (now() AT TIME ZONE 'UTC' - interval '1 minute')::time)});
comes(q{SELECT successes > 1 FROM dbopt.jobs WHERE name = 'open'}, 'in its window a job runs');
is(sql(q{SELECT successes || ' ' || (next_run > now() + interval '20 hours') FROM dbopt.jobs WHERE name = 'shut'}),
	'0 true', 'after it, it waits for the next day');
sql(q{SELECT dbopt.job_remove(name) FROM dbopt.jobs});

# ---- DROP EXTENSION under the workers ----
my $from = -s $node->logfile;
for (1 .. 12)
{
	sql('DROP EXTENSION dbopt');
	select(undef, undef, undef, rand(0.05));
	sql('CREATE EXTENSION dbopt');
	select(undef, undef, undef, rand(0.3));
}
comes(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'dbopt database worker'}, 'a worker serves in the end');
my @angry = grep { /(ERROR|WARNING|FATAL):/ && !/administrator command/ } split /\n/, substr(slurp_file($node->logfile), $from);
is(join("\n", @angry), '', 'DROP EXTENSION under the workers is no error');
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
