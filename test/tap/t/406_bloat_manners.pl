# Measuring with manners: readings by several processes that are cancelled or lose a process leave nothing behind,
# and no reading pushes pages of others out of the cache.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('bloat_manners', "shared_buffers = '48MB'\nmax_parallel_workers = 16\nmax_parallel_maintenance_workers = 2\nwal_level = minimal\nmax_wal_senders = 0\nfsync = off");
$node->start;
sub sql { return $node->safe_psql('postgres', shift); }
sub soon { my $what = shift; $node->poll_query_until('postgres', "SELECT $what") or diag "never: $what"; return; }
sub session { my $sql = shift; my ($i, $o, $e) = ('', '', '');
	return { run => IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', $sql ], '<', \$i, '>', \$o, '2>', \$e), err => \$e }; }
sql(q{CREATE EXTENSION dbopt; CREATE EXTENSION pgstattuple; CREATE EXTENSION pg_buffercache;
	CREATE TABLE big AS SELECT g AS id, repeat('x', 300 + g % 500) AS v FROM generate_series(1, 180000) g;
	CREATE INDEX big_id ON big (id);
	DELETE FROM big WHERE id % 5 = 0; VACUUM (TRUNCATE off) big; DELETE FROM big WHERE id % 5 = 1});
cmp_ok(sql(q{SELECT pg_relation_size('big') / 8192}), '>', 12288, 'large enough for two workers');

# ---- a team that is disturbed ----
my $reading = q{pg_stat_activity WHERE pid <> pg_backend_pid() AND (backend_type = 'parallel worker' OR query LIKE 'SELECT count(dbopt.table_bloat(%')};
my $truth = sql(q{SELECT round(dead_tuple_percent::numeric, 1) || ' ' || round(free_percent::numeric, 1) FROM pgstattuple('big')});
my %disturb = (
	'the caller is cancelled' => [ 'pg_cancel_backend', 'client backend', qr/canceling statement due to user request/ ],
	'the caller is terminated' => [ 'pg_terminate_backend', 'client backend', qr/terminating connection|server closed/ ],
	'a worker is cancelled' => [ 'pg_cancel_backend', 'parallel worker', qr/canceling statement|parallel worker/ ],
	'a worker is terminated' => [ 'pg_terminate_backend', 'parallel worker', qr/terminating|lost connection to parallel worker/ ]);
for my $what (sort keys %disturb)
{
	my ($how, $whom, $expected) = @{ $disturb{$what} };
	my $s = session(q{SELECT count(dbopt.table_bloat('big', 'exact')) FROM generate_series(1, 100000)});
	soon("EXISTS (SELECT FROM $reading AND backend_type = 'parallel worker')");
	# A worker lives for some milliseconds: try until one was hit.
	for (1 .. 300)
	{
		last if sql("SELECT count(*) FROM (SELECT $how(pid) FROM $reading AND backend_type = '$whom') x") > 0 && $whom eq 'client backend';
		last if $whom ne 'client backend' && ${ $s->{err} } ne '';
		$s->{run}->pump_nb;
	}
	eval { $s->{run}->finish };
	like(${ $s->{err} }, $expected, "$what: the call says so");
	soon("NOT EXISTS (SELECT FROM $reading)");
	is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'parallel worker'}), 0, "$what: no process is left");
	is(sql(q{SELECT round(dead_pct::numeric, 1) || ' ' || round(free_pct::numeric, 1) FROM dbopt.table_bloat('big', 'exact')}), $truth, "$what: the next reading is right");
}
my ($rc, $out, $err) = $node->psql('postgres', q{BEGIN; SAVEPOINT s; SET LOCAL statement_timeout = '30ms';
	SELECT count(dbopt.table_bloat('big', 'exact')) FROM generate_series(1, 1000);}, on_error_stop => 0);
like($err, qr/statement timeout/, 'a timeout ends a reading');
sql('SELECT 1');
my $log = slurp_file($node->logfile);
unlike($log, qr/leak|still active|still referenced/i, 'no resource was left open');

# ---- the cache ----
sql(q{CREATE TABLE hot AS SELECT g AS id, repeat('h', 500) AS v FROM generate_series(1, 22000) g; VACUUM (FREEZE) hot; CHECKPOINT});
$node->restart;
soon(q{count(*) > 0 FROM pg_stat_activity WHERE backend_type LIKE 'dbopt database worker%'});
sql(q{CREATE EXTENSION pg_prewarm; SELECT pg_prewarm('hot'), pg_prewarm('hot')});
# Blocks of the table that are in the cache, and how many buffers the big one's take.
sub cached { return split / /, sql(q{SELECT count(*) FILTER (WHERE relfilenode = pg_relation_filenode('hot') AND relforknumber = 0) || ' '
	|| count(*) FILTER (WHERE relfilenode IN (pg_relation_filenode('big'), pg_relation_filenode('big_id')))
	FROM pg_buffercache WHERE reldatabase = (SELECT oid FROM pg_database WHERE datname = 'postgres')}); }
my $size = sql(q{SELECT pg_relation_size('hot') / 8192});
# Full of other things: a page that comes in must push another one out.
sql(q{SELECT count(*) FROM pg_attribute, pg_proc WHERE false});
my ($hot) = cached();
is($hot, $size, "a table of $size pages is in the cache");
cmp_ok(sql(q{SELECT pg_relation_size('big') / 8192}), '>', 2 * 6144, 'the other one is more than twice as large as the cache');
for my $reading (q{SELECT dbopt.table_bloat('big')}, q{SELECT dbopt.table_bloat('big', 'exact')},
	q{SET max_parallel_maintenance_workers = 0; SELECT dbopt.table_bloat('big', 'exact')},
	q{SELECT dbopt.index_bloat('big_id')}, q{SELECT dbopt.index_bloat('big_id', 'exact')},
	q{CALL dbopt.bloat_collect_run(min_bytes => 0)}, q{SELECT count(*) FROM dbopt.maintenance_plan()})
{
	sql($reading) for 1 .. 2;
	my ($now, $others) = cached();
	is($now, $hot, "all of it still is: $reading");
	cmp_ok($others, '<=', 2048, "and the large one has a ring of 32 for each call and process ($others)");
}
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
