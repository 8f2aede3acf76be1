# Exact readings take what is not in the cache straight from the file: whatever part of the table is cached, dirty,
# without hint bits, damaged or being written, the result is what the server itself would say.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('file_pages', "shared_buffers = '8MB'\nautovacuum = off\nmax_parallel_maintenance_workers = 2\nbgwriter_lru_maxpages = 0",
	extra => ['--data-checksums']);
$node->start;
sub sql { return $node->safe_psql('postgres', shift); }
sub soon { my $what = shift; $node->poll_query_until('postgres', "SELECT $what") or diag "never: $what"; return; }
sql(q{CREATE EXTENSION dbopt; CREATE EXTENSION pgstattuple; CREATE EXTENSION pg_buffercache; CREATE EXTENSION pg_prewarm});
is(sql('SHOW data_checksums'), 'on', 'pages have checksums');

# What both say, in bytes' precision of two digits; the own reading first, for pgstattuple sets hint bits.
sub same
{
	my ($table, $what, $workers) = @_;
	my $ours = sql("SET max_parallel_maintenance_workers = @{[ $workers // 0 ]}; SELECT concat_ws(' ', round(live_pct::numeric, 2), round(dead_pct::numeric, 2), round(free_pct::numeric, 2), sampled_pages, status) FROM dbopt.table_bloat('$table', 'exact')");
	my $theirs = sql("SELECT concat_ws(' ', round(tuple_percent::numeric, 2), round(dead_tuple_percent::numeric, 2), round(free_percent::numeric, 2), table_len / 8192, 'done') FROM pgstattuple('$table')");
	return is($ours, $theirs, $what);
}
sub cached { return sql("SELECT count(*) FROM pg_buffercache WHERE relfilenode = pg_relation_filenode('$_[0]') AND relforknumber = 0"); }

# ---- nothing, all, some of it in the cache ----
my $make = q{CREATE TABLE %1$s AS SELECT g AS id, repeat('x', 100 + g %% 300) AS v FROM generate_series(1, %2$s) g; DELETE FROM %1$s WHERE hashint4(id) %% 3 = 0;};
sql(sprintf $make, 'large', 150000);
cmp_ok(sql(q{SELECT pg_relation_size('large') / 8192}), '>', 3 * 1024, 'three times as large as the cache');
same('large', 'rows without hint bits, most of it only in the file');
same('large', 'rows with hint bits');
$node->restart;
same('large', 'after a restart, nothing of it is in the cache');
$node->restart;
same('large', 'nothing in the cache, by several processes', 2);
sql(sprintf $make, 'small', 10000);
sql(q{CHECKPOINT; SELECT pg_prewarm('small')});
cmp_ok(cached('small'), '>=', sql(q{SELECT pg_relation_size('small') / 8192}), 'a table that is all in the cache');
same('small', 'all in the cache');
sql(q{UPDATE small SET v = v || 'y' WHERE id % 2 = 0});
same('small', 'all in the cache, and changed there');
my @parts = ('0, 40', '35, 36', '100, 200', '31, 32', '64, 64');
sql("CREATE TABLE small_$_ AS TABLE small; DELETE FROM small_$_ WHERE id % 7 = $_") for 0 .. $#parts;
$node->restart;
for my $i (0 .. $#parts)
{
	my $table = "small_$i";
	my $size = sql(qq{SELECT pg_relation_size('$table') / 8192});
	sql("SELECT pg_prewarm('$table', 'buffer', 'main', $parts[$i])");
	my $there = cached($table);
	ok($there > 0 && $there < $size, "$there of $size pages in the cache, from block $parts[$i]");
	same($table, "and the rest in the file ($parts[$i])");
}
# Every third page is in the cache and newer there than in the file.
$node->restart;
sql(q{UPDATE small SET v = left(v, 20) WHERE (ctid::text::point)[0]::int % 3 = 1});
same('small', 'changed pages in the cache, the rest in the file');
is(cached('large'), 0, 'the larger one is not there');
my $before = cached('small');
sql(q{SELECT dbopt.table_bloat('large', 'exact')});
is(cached('small'), $before, 'reading it moves nothing out of the cache');
cmp_ok(cached('large'), '<=', 32, 'nor into it');

# ---- rows of transactions that are running, aborted, prepared, deleted by oneself ----
$node->restart;
sql(q{INSERT INTO small SELECT g, repeat('z', 200) FROM generate_series(1, 5000) g});
$node->psql('postgres', q{BEGIN; INSERT INTO small SELECT g, 'gone' FROM generate_series(1, 20000) g; ROLLBACK});
sql(q{CHECKPOINT});
$node->restart;
same('small', 'rows of a transaction that was rolled back, not hinted');
same('small', 'and hinted');
is(sql(q{BEGIN; DELETE FROM small WHERE id % 5 = 0;
	SELECT b.dead_pct - b.held_pct < b.dead_pct FROM dbopt.table_bloat('small', 'exact') b}), 't', 'own deletes are seen, and held');

# ---- columns dropped and added: rows are taken apart in the copy ----
sql(q{CREATE TABLE reshaped AS SELECT g AS id, repeat('d', 150) AS d, md5(g::text) AS v FROM generate_series(1, 60000) g;
	ALTER TABLE reshaped DROP COLUMN d; ALTER TABLE reshaped ADD COLUMN late text DEFAULT 'late'; CHECKPOINT});
$node->restart;
same('reshaped', 'dropped and late columns, from the file');
my $predicted = sql(q{SELECT reclaimable_bytes / 8192 FROM dbopt.table_bloat('reshaped', 'exact')});
my $size = sql(q{SELECT pg_relation_size('reshaped') / 8192});
sql(q{VACUUM FULL reshaped});
cmp_ok(abs($size - $predicted - sql(q{SELECT pg_relation_size('reshaped') / 8192})), '<=', 1, 'and the rewritten size is predicted');

# ---- sizes about the borders of a batch of 32 blocks ----
sql(q{CREATE TABLE fat (v text); ALTER TABLE fat ALTER v SET STORAGE PLAIN});
my @sizes = (1, 31, 32, 33, 63, 64, 65, 97);
for my $pages (@sizes)
{
	sql("CREATE TABLE fat_$pages (LIKE fat INCLUDING STORAGE); INSERT INTO fat_$pages SELECT repeat('f', 5000) FROM generate_series(1, $pages)");
}
$node->restart;
same("fat_$_", "a table of $_ blocks") for @sizes;

# ---- a page whose checksum is wrong, pages of zeros, a file that ends early ----
my %file = map { $_ => $node->data_dir . '/' . sql("SELECT pg_relation_filepath('$_')") } qw(large reshaped fat_97);
$node->stop;
sub scribble { my ($path, $at, $bytes) = @_; open my $f, '+<:raw', $path or die "$path: $!"; seek $f, $at, 0; print $f $bytes; close $f; return; }
scribble($file{large}, 8192 * 77 + 5000, 'damage');
scribble($file{reshaped}, 8192 * 40, "\0" x 8192);
scribble($file{fat_97}, 8192 * 97, "\0" x (8192 * 40));
$node->start;
like(sql(q{SELECT status || ': ' || detail FROM dbopt.table_bloat('large', 'exact')}), qr/^skipped: cannot be read: invalid page in block 77/, 'a wrong checksum is told as the server tells it');
is(sql(q{SET ignore_checksum_failure = on; SELECT status FROM dbopt.table_bloat('large', 'exact')}), 'done', 'unless it is told to ignore it');
same('reshaped', 'a page of zeros within');
same('fat_97', 'pages of zeros at the end');
is(sql(q{SELECT count(*) FROM dbopt.table_bloat('reshaped')}), 1, 'a sample goes through');

# ---- beside writers and a cache that is far too small: no errors, and the truth when they are through ----
sql(q{CREATE TABLE busy AS SELECT g AS id, repeat('b', 200) AS v FROM generate_series(1, 60000) g});
my @writers = map { my $w = $_; IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c',
	"DO \$\$ BEGIN FOR i IN 1 .. 25 LOOP UPDATE busy SET v = repeat(chr(97 + i), 150 + (id + i) % 100) WHERE id % 50 = (2 * i + $w) % 50; COMMIT; END LOOP; END \$\$" ],
	'>', \my $o, '2>', \my $e) } 0 .. 1;
my ($bad, $n) = ('', 0);
my $going = q{SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DO %busy%' AND pid <> pg_backend_pid()};
do
{
	my ($rc, $out, $err) = $node->psql('postgres', q{SELECT status || ' ' || (live_pct + dead_pct + free_pct BETWEEN 80 AND 100) FROM dbopt.table_bloat('busy', 'exact')});
	$bad .= "$rc $out $err\n" unless $rc == 0 && $out eq 'done true';
	$n++;
} while (sql($going) > 0);
$_->finish for @writers;
is($bad, '', "$n readings beside two writers");
same('busy', 'when they are through');
$node->restart;
same('busy', 'and after a restart');
unlike(slurp_file($node->logfile), qr/leak|still referenced|temporary file leak/i, 'nothing is left open');
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
