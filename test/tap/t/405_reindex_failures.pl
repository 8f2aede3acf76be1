# REINDEX CONCURRENTLY made to fail in every way there is, many times: nothing of ours is left, nothing of
# others is touched. DBOPT_REINDEX_FAILURES says how often (test/bench/reindex_failures.sh: 100).
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $times = $ENV{DBOPT_REINDEX_FAILURES} || 21;
my $node = dbopt_cluster('reindex_failures', "dbopt.old_transaction = '1h'\nrestart_after_crash = on\nlock_timeout = '3s'");
$node->start;
sub sql { return $node->safe_psql('postgres', shift); }
sub soon { my $what = shift; $node->poll_query_until('postgres', "SELECT $what") or diag "never: $what"; return 1; }
sub session { my $sql = shift; my ($i, $o, $e) = ('', '', '');
	return IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', $sql ], '<', \$i, '>', \$o, '2>', \$e); }
sql(q{
	CREATE EXTENSION dbopt;
	CREATE TABLE broken (now boolean);
	CREATE FUNCTION fragile(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
		BEGIN IF EXISTS (SELECT FROM public.broken) THEN RAISE 'broken on purpose'; END IF; RETURN $1; END $$;
	CREATE TABLE t (id int, v text);
	ALTER TABLE t ALTER v SET STORAGE EXTERNAL;
	INSERT INTO t SELECT g, CASE WHEN g <= 50 THEN repeat(md5(g::text), 300) ELSE md5(g::text) END FROM generate_series(1, 5000) g;
	CREATE INDEX t_id ON t (id);
	CREATE INDEX "T ""mixed"" case and a name that is as long as a name may be, 63." ON t (id DESC);
	CREATE INDEX t_fragile ON t (fragile(id));
	CREATE INDEX foreign_ccnew ON t (id, v) WHERE length(v) < 100;
	CREATE INDEX t_id_ccnew ON t (id);
	UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('foreign_ccnew'::regclass, 't_id_ccnew'::regclass)});
my $worker = q{count(*) > 0 FROM pg_stat_activity WHERE backend_type LIKE 'dbopt database worker%'};
soon($worker) or die 'no database worker';
my $long = sql(q{SELECT relname FROM pg_class WHERE relname LIKE 'T %'});
is(length $long, 63, 'a name without room for _ccnew');
my $toast = sql(q{SELECT i.indexrelid::regclass FROM pg_class c JOIN pg_index i ON i.indrelid = c.reltoastrelid WHERE c.relname = 't'});
my @targets = ('t_id', "\"$long\"" =~ s/(?<=.)"(?=.)/""/gr, $toast);

# All indexes of the table and of its TOAST table, with their state.
my $indexes = q{SELECT string_agg(c.relname || ' ' || i.indisvalid || ' ' || i.indisready, E'\n' ORDER BY c.relname)
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	WHERE i.indrelid = 't'::regclass OR i.indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 't'::regclass)};
my $at_first = sql($indexes);
my $left = q{EXISTS (SELECT FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'
	AND c.relname NOT IN ('foreign_ccnew', 't_id_ccnew'))};
my $running = q{SELECT pid FROM pg_stat_activity WHERE query LIKE 'REINDEX INDEX%' AND backend_type LIKE 'dbopt%' AND state = 'active'};
my $under_way = "EXISTS ($running AND wait_event_type = 'Lock') AND $left";

# A writer that the build has to wait for keeps it where it can be hit; a writer of a table does not hold up the
# build of its TOAST index, so it writes to that, too.
sub hit
{
	my ($index, $how) = @_;
	my $holder = session(q{BEGIN; INSERT INTO t SELECT 0, repeat(md5('w'), 300); SELECT pg_sleep(600)});
	soon(q{EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'BEGIN; INSERT INTO t SELECT 0%' AND wait_event = 'PgSleep')});
	my $duration = $how eq 'time' ? '1 s' : '10 min';
	$index =~ s/'/''/g;
	my $call = session(qq{CALL dbopt.maintenance_run('{reindex}', ARRAY['$index'::regclass], '$duration')});
	soon($under_way) or diag "no build of $index";
	if ($how eq 'cancel') { sql("SELECT pg_cancel_backend(pid) FROM ($running) r"); }
	elsif ($how eq 'terminate') { sql("SELECT pg_terminate_backend(pid) FROM ($running) r"); }
	elsif ($how eq 'call') { sql(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL dbopt.maintenance_run%' AND pid <> pg_backend_pid()}); }
	elsif ($how eq 'gone') { sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL dbopt.maintenance_run%' AND pid <> pg_backend_pid()}); }
	elsif ($how eq 'crash') { kill_backend($node, sql($running)); soon($worker); }
	soon("NOT EXISTS ($running)") or diag "the build of $index goes on";
	# The clean-up needs the table: the writer lets go of it.
	sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; INSERT INTO t SELECT 0%'});
	eval { $_->finish } for $holder, $call;
	return;
}

# An error of the build itself: an expression of an index that has begun to fail.
sub break_it
{
	sql(q{INSERT INTO broken VALUES (true)});
	$node->psql('postgres', q{CALL dbopt.maintenance_run('{reindex}', '{t_fragile}')});
	sql(q{TRUNCATE broken});
	return;
}

my @ways = qw(cancel terminate time call broken gone crash);
my (%count, $done);
for my $n (0 .. $times - 1)
{
	my $how = $ways[ $n % @ways ];
	$how = 'terminate' if $how eq 'crash' && $n >= 14 && $n % 28 != 27; # crashes take longest
	$how eq 'broken' ? break_it() : hit($targets[ int($n / @ways) % @targets ], $how);
	$count{$how}++;
	$done++ if sql(q{SELECT status FROM dbopt.maintenance_runs ORDER BY id DESC LIMIT 1}) eq 'done';
}
is($done // 0, 0, "$times REINDEX runs were made to fail: " . join(', ', map { "$count{$_} by $_" } sort keys %count));
sql(q{CALL dbopt.maintenance_run('{cleanup}')});
soon("NOT $left");
is(sql("SELECT $left"), 'f', 'nothing of ours is left');
is(sql($indexes), $at_first, 'the indexes are those of the beginning: valid as before, invalid ones of others untouched');
is(sql(q{SELECT count(*) FROM dbopt.maintenance_runs WHERE status IN ('queued', 'running')}), 0, 'no run stays open');
is(sql(q{SELECT count(*) FROM dbopt._maintenance_run WHERE action = 'reindex' AND NOT repaired}), 0, 'all are concluded');
cmp_ok(sql(q{SELECT count(*) FROM dbopt.maintenance_runs WHERE action = 'reindex' AND detail LIKE '%leftover index(es) removed%'}), '>', 0, 'and say what was removed');
is(sql(q{SELECT count(*) FROM pg_class WHERE relname ~ '_ccold'}), 0, 'none of the old ones either');

# With nobody in the way each of them can still be rebuilt.
for my $index (@targets, 't_fragile')
{
	sql(qq{CALL dbopt.maintenance_run('{reindex}', ARRAY['@{[ $index =~ s/'/''/gr ]}'::regclass])});
	is(sql(q{SELECT status FROM dbopt.maintenance_runs ORDER BY id DESC LIMIT 1}), 'done', "$index is rebuilt");
}
is(sql($indexes), $at_first, 'and all is as it was');
ok(no_crash($node), 'no crash of its own');
$node->stop;
done_testing();
