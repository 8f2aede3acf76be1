# Bloat of odd and damaged relations: a row with a reason, never a crash, never a wait.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);
use Dbopt::Test;

my $node = dbopt_cluster('bloat_edges', '');
$node->start;
my @kinds = qw(zeros_at_end zeros_inside garbage junk_items short gone);
$node->safe_psql('postgres', q{CREATE EXTENSION dbopt; CREATE EXTENSION pgstattuple});
for my $t (@kinds)
{
	$node->safe_psql('postgres', qq{
		CREATE TABLE $t (id int, v text) WITH (autovacuum_enabled = off);
		INSERT INTO $t SELECT g, repeat('x', 100) FROM generate_series(1, 4000) g;
		CREATE INDEX ${t}_b ON $t (id); CREATE INDEX ${t}_g ON $t USING gin (to_tsvector('simple', v));
		CREATE INDEX ${t}_h ON $t USING hash (id); CREATE INDEX ${t}_s ON $t USING gist (point(id, id));
		DELETE FROM $t WHERE id % 3 = 0});
}
my $data = $node->data_dir;
my %file = map { $_ => "$data/" . $node->safe_psql('postgres', "SELECT pg_relation_filepath('$_')") }
  map { ($_, "${_}_b", "${_}_g", "${_}_h", "${_}_s") } @kinds;
$node->stop;

# Writes bytes into a file at a place; undef: at its end.
sub scribble
{
	my ($path, $at, $bytes) = @_;
	open my $f, '+<:raw', $path or die "$path: $!";
	seek $f, defined $at ? $at : 0, defined $at ? 0 : 2;
	print $f $bytes;
	close $f;
	return;
}
srand 7;
my $noise = join '', map { chr int rand 256 } 1 .. 8192;
scribble($file{zeros_at_end}, undef, "\0" x (8192 * 5));
for my $what ('', qw(_b _g _h _s))
{
	scribble($file{"zeros_inside$what"}, 8192 * 2, "\0" x 8192);
	scribble($file{"garbage$what"}, 8192 * 2, $noise);
	# The header stays valid; line pointers and rows are noise.
	scribble($file{"junk_items$what"}, 8192 * 2 + 24, substr($noise, 0, 8192 - 24 - 16));
	truncate $file{"short$what"}, 8192 * 2 + 4000 or die $!;
	unlink $file{"gone$what"} or die $!;
}
$node->start;

for my $t (@kinds)
{
	for my $method (qw(sample exact))
	{
		my ($rc, $out, $err) = $node->psql('postgres', "SELECT status, detail FROM dbopt.table_bloat('$t', '$method')");
		is($rc, 0, "$t, $method: no error") or diag $err;
		like($out, $t eq 'garbage' || $t eq 'gone' ? qr/^skipped\|cannot be read: / : qr/^(done\||skipped\|cannot be read)/, "$t, $method: a row that says so");
		for my $index ("${t}_b", "${t}_g", "${t}_h", "${t}_s")
		{
			($rc, $out, $err) = $node->psql('postgres', "SELECT status, detail FROM dbopt.index_bloat('$index', '$method')");
			ok($rc == 0 && $out =~ /^(done|skipped)\|/, "$index, $method: $out") or diag $err;
		}
	}
}
is($node->safe_psql('postgres', q{SELECT b.pages || ' ' || (b.dead_pct > 25) FROM dbopt.table_bloat('zeros_at_end', 'exact') b}),
	$node->safe_psql('postgres', q{SELECT pg_relation_size('zeros_at_end') / 8192}) . ' true', 'pages of zeros count, and the rest is measured');
is($node->safe_psql('postgres', q{SELECT count(*) FROM dbopt.table_bloat('zeros_at_end', 'exact') b, pgstattuple('zeros_at_end') p
	WHERE abs(b.dead_pct - p.dead_tuple_percent) < 0.02 AND abs(b.free_pct - p.free_percent) < 0.02}), 1, 'as pgstattuple counts them');
my ($rc, $out, $err) = $node->psql('postgres', q{SELECT string_agg(DISTINCT status, ',' ORDER BY status) FROM dbopt.bloat_collect(min_bytes => 0)});
is("$rc $out", '0 done,skipped', 'a round over all of them goes through') or diag $err;
$node->safe_psql('postgres', "DROP TABLE $_") for qw(garbage junk_items short zeros_inside zeros_at_end);

# ---- relations that come, change and go while they are measured ----
my $churn = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', q{
	CREATE TABLE IF NOT EXISTS busy (id int, v text)}, '-c', q{
	DO $$ BEGIN FOR i IN 1 .. 40 LOOP
		INSERT INTO busy SELECT g, repeat('y', 200) FROM generate_series(1, 3000) g; COMMIT;
		DELETE FROM busy WHERE id % 2 = 0; COMMIT;
		CREATE INDEX IF NOT EXISTS busy_i ON busy (id); COMMIT;
		TRUNCATE busy; COMMIT;
		INSERT INTO busy SELECT g, repeat('y', 200) FROM generate_series(1, 3000) g; COMMIT;
		ALTER TABLE busy ALTER id TYPE bigint; COMMIT;
		ALTER TABLE busy ALTER id TYPE int; COMMIT;
		DROP TABLE busy; CREATE TABLE busy (id int, v text); COMMIT;
	END LOOP; END $$} ], '>', \my $co, '2>', \my $ce);
my ($asked, $odd) = (0, '');
my $until = time + 6;
while (time < $until)
{
	for my $sql (q{table_bloat('busy')}, q{table_bloat('busy', 'exact')}, q{index_bloat('busy_i')})
	{
		my ($rc1, $out1, $err1) = $node->psql('postgres', "SELECT status, detail FROM dbopt.$sql");
		$asked++;
		$odd .= "$sql: $out1 $err1\n" unless $rc1 == 0 && $out1 =~ /^(done|skipped)/ || $err1 =~ /does not exist/;
	}
}
$churn->finish;
is($odd, '', "$asked readings of a table that is dropped, truncated and rewritten all the time");

# ---- truncated by VACUUM meanwhile ----
$node->safe_psql('postgres', q{CREATE TABLE shrinks AS SELECT g AS id, repeat('z', 500) AS v FROM generate_series(1, 60000) g});
my $shrink = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', q{DELETE FROM shrinks WHERE id > 100}, '-c', q{VACUUM shrinks} ], '>', \my $so, '2>', \my $se);
my @pages;
for (1 .. 8) { push @pages, $node->safe_psql('postgres', q{SELECT status FROM dbopt.table_bloat('shrinks', 'exact')}); }
$shrink->finish;
is(join(',', grep { $_ ne 'done' } @pages), '', 'a table that VACUUM truncates');

# ---- other sessions' temporary tables, locks, rows ----
sub session { my $sql = shift; my ($i, $o, $e) = ('', '', '');
	return IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', $sql ], '<', \$i, '>', \$o, '2>', \$e); }
sub seen { my $sql = shift; return $node->poll_query_until('postgres', "SELECT EXISTS ($sql)"); }
my $temp = session(q{CREATE TEMP TABLE secret AS SELECT g FROM generate_series(1, 1000) g; CREATE INDEX secret_i ON secret (g); COMMIT; SELECT pg_sleep(60)});
# The statement list of -c is one transaction until COMMIT.
seen(q{SELECT FROM pg_class WHERE relname = 'secret_i'});
is($node->safe_psql('postgres', q{SELECT b.status || ': ' || b.detail FROM pg_class c, dbopt.table_bloat(c.oid) b WHERE relname = 'secret'}), 'skipped: temporary table of another session', 'a temporary table of another session');
is($node->safe_psql('postgres', q{SELECT b.status || ': ' || b.detail FROM pg_class c, dbopt.index_bloat(c.oid) b WHERE relname = 'secret_i'}), 'skipped: index of a temporary table of another session', 'and its index');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE TEMP TABLE secret%'});
eval { $temp->finish };

$node->safe_psql('postgres', q{CREATE TABLE parent (id int, v text) PARTITION BY RANGE (id);
	CREATE TABLE part1 PARTITION OF parent FOR VALUES FROM (0) TO (10000); CREATE TABLE part2 PARTITION OF parent FOR VALUES FROM (10000) TO (100000);
	INSERT INTO parent SELECT g, repeat('x', 50) FROM generate_series(1, 20000) g});
my $lock = session(q{BEGIN; LOCK TABLE part2 IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)});
seen(q{SELECT FROM pg_locks WHERE relation = 'part2'::regclass AND granted AND mode = 'AccessExclusiveLock'});
my $begin = time;
is($node->safe_psql('postgres', q{SELECT detail FROM dbopt.table_bloat('parent')}), 'sum of 1 partitions, 1 left out (public.part2: locked by another session)', 'a locked partition is left out, and named');
cmp_ok(time - $begin, '<', 30, 'without waiting for its lock');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE part2%'});
eval { $lock->finish };

my $snapshot = session(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; SELECT pg_sleep(60)});
seen(q{SELECT FROM pg_stat_activity WHERE query LIKE 'BEGIN ISOLATION%' AND backend_xmin IS NOT NULL});
my $insert = session(q{BEGIN; INSERT INTO part1 SELECT 5, repeat('w', 50) FROM generate_series(1, 3000); SELECT pg_sleep(60)});
seen(q{SELECT FROM pg_locks WHERE relation = 'part1'::regclass AND mode = 'RowExclusiveLock'});
$node->safe_psql('postgres', q{DELETE FROM part2});
like($node->safe_psql('postgres', q{SELECT detail FROM dbopt.table_bloat('part2', 'exact') WHERE held_pct > 50 AND held_pct = dead_pct}),
	qr/^dead rows are held by backend \d+ \(since /, 'dead rows that a snapshot still sees: held, and by whom');
cmp_ok($node->safe_psql('postgres', q{SELECT running_pct FROM dbopt.table_bloat('part1', 'exact')}), '>', 5, 'rows of a running transaction are told apart');
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN%pg_sleep(60)%' AND pid <> pg_backend_pid()});
eval { $_->finish } for $snapshot, $insert;
$node->poll_query_until('postgres', q{SELECT held_pct = 0 FROM dbopt.table_bloat('part2', 'exact')});
is($node->safe_psql('postgres', q{SELECT dead_pct > 50 AND held_pct = 0 AND detail IS NULL FROM dbopt.table_bloat('part2', 'exact')}), 't', 'afterwards they can be removed');

# ---- an unlogged table after a crash is empty ----
$node->safe_psql('postgres', q{CREATE UNLOGGED TABLE u AS SELECT g AS id FROM generate_series(1, 10000) g; CREATE INDEX u_i ON u (id)});
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', q{SELECT status || ' ' || pages FROM dbopt.table_bloat('u')}), 'done 0', 'an unlogged table after a crash');
is($node->safe_psql('postgres', q{SELECT status FROM dbopt.index_bloat('u_i')}), 'done', 'and its index');
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
