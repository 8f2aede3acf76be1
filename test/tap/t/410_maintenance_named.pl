# Maintenance of relations that are named: what cannot be done is told, nothing is done that the plan only advises, and
# nobody's lock on a sequence is waited for.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Dbopt::Test;

my $node = dbopt_cluster('maintenance_named', "dbopt.old_transaction = '1h'");
$node->start;
sub sql { return $node->safe_psql('postgres', shift); }
sub soon { my $what = shift; $node->poll_query_until('postgres', "SELECT $what") or diag "never: $what"; return; }
sql(q{
	CREATE EXTENSION dbopt;
	CREATE TABLE plain AS SELECT g AS a, g % 3 AS few FROM generate_series(1, 2000) g;
	CREATE INDEX plain_a ON plain (a); CREATE INDEX plain_few ON plain (few);
	CREATE VIEW seen AS SELECT 1 AS one;
	CREATE SEQUENCE numbers;
	CREATE TABLE tree (a int PRIMARY KEY) PARTITION BY RANGE (a);
	CREATE TABLE leaf1 PARTITION OF tree FOR VALUES FROM (0) TO (500);
	CREATE TABLE middle PARTITION OF tree FOR VALUES FROM (500) TO (2000) PARTITION BY RANGE (a);
	CREATE TABLE leaf2 PARTITION OF middle FOR VALUES FROM (500) TO (2000);
	INSERT INTO tree SELECT generate_series(1, 1000);
	CREATE TABLE single (a int, EXCLUDE USING btree (a WITH =)); INSERT INTO single VALUES (1);
	CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one;
	CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing;
	CREATE FOREIGN TABLE far (a int) SERVER nowhere});
soon(q{count(*) > 0 FROM pg_stat_activity WHERE backend_type LIKE 'dbopt database worker%'});
# What a call left behind, one line for each task.
sub asked
{
	my ($actions, $relations) = @_;
	my $last = sql(q{SELECT coalesce(max(id), 0) FROM dbopt.maintenance_runs});
	sql("CALL dbopt.maintenance_run('{$actions}', ARRAY[$relations]::regclass[])");
	return sql("SELECT coalesce(string_agg(format('%s %s %s%s', relation, action, status, ': ' || detail), E'\n' ORDER BY relation, action, id), '') FROM dbopt.maintenance_runs WHERE id > $last");
}
is(asked('vacuum', q{'plain', 'plain', 'plain'}), 'public.plain vacuum done', 'named three times: done once');
is(asked('vacuum,analyze,reindex', q{'seen'}), join("\n", map { "public.seen $_ skipped: is a view, which $_ is not for" } qw(analyze reindex vacuum)), 'a view');
is(asked('vacuum', q{'numbers'}), 'public.numbers vacuum skipped: is a sequence, which vacuum is not for', 'a sequence');
is(asked('vacuum', q{'far'}), 'public.far vacuum skipped: is a foreign table, which vacuum is not for', 'a foreign table');
is(asked('vacuum', q{'plain_a'}), 'public.plain_a vacuum skipped: is an index, which vacuum is not for: name its table', 'VACUUM of an index');
is(asked('reindex', q{'plain'}), "public.plain_a reindex done\npublic.plain_few reindex done", 'REINDEX of a table: its indexes');
is(asked('reindex', q{'plain', 'plain_a'}), "public.plain_a reindex done\npublic.plain_few reindex done", 'table and index: each once');
is(asked('reindex', q{'tree'}), "public.leaf1_pkey reindex done\npublic.leaf2_pkey reindex done", 'REINDEX of a partition tree: the indexes of its leaves');
is(asked('reindex', q{'middle_pkey'}), 'public.leaf2_pkey reindex done', 'of a partitioned index: those below it');
like(asked('reindex', q{'kept'}), qr/^public.kept reindex skipped: has no index/, 'nothing to rebuild');
is(asked('analyze', q{'tree', 'leaf1'}), "public.leaf1 analyze done\npublic.tree analyze done", 'a parent and a leaf');
# A temporary table of the session that calls.
sql(q{CREATE TEMP TABLE mine (a int); CALL dbopt.maintenance_run('{vacuum}', '{mine}')});
is(sql(q{SELECT status || ': ' || detail FROM dbopt.maintenance_runs ORDER BY id DESC LIMIT 1}),
	'skipped: is temporary: the workers of maintenance_run cannot reach it; do it by hand', 'a temporary table');

# ---- what is only advised is not carried out, named or not ----
my $files = sql(q{SELECT string_agg(pg_relation_filenode(indexrelid)::text, ' ' ORDER BY indexrelid) FROM pg_index WHERE indrelid IN ('pg_class'::regclass, 'single'::regclass)});
my $said = asked('reindex', q{'pg_class', 'single'});
is(scalar(() = $said =~ /skipped: system index: locks the catalog while it runs; CONCURRENTLY is not possible: by hand, REINDEX INDEX pg_catalog\./g), 3, 'indexes of a catalog: skipped, with the command');
like($said, qr/^public.single_a_excl reindex skipped: exclusion constraint: locks the table while it runs;.*REINDEX INDEX public.single_a_excl$/m, 'an exclusion constraint likewise');
unlike($said, qr/done/, 'none was done');
is(sql(q{SELECT string_agg(pg_relation_filenode(indexrelid)::text, ' ' ORDER BY indexrelid) FROM pg_index WHERE indrelid IN ('pg_class'::regclass, 'single'::regclass)}), $files, 'their files are the same');
is(sql(q{SELECT count(*) FROM dbopt.run WHERE command LIKE 'REINDEX INDEX pg_catalog%' OR command LIKE '%a_excl%'}), 0, 'nothing was queued');

# ---- sequences: one that goes down, one that somebody alters ----
sql(q{CREATE SEQUENCE down INCREMENT -1 MINVALUE -100; SELECT setval('down', -95);
	CREATE SEQUENCE down_from INCREMENT -1 MAXVALUE 1000 MINVALUE 1; SELECT setval('down_from', 20);
	CREATE SEQUENCE up MAXVALUE 100; SELECT setval('up', 80);
	CREATE SEQUENCE up_fresh INCREMENT -1 MAXVALUE 1000 MINVALUE 1; SELECT setval('up_fresh', 900);
	CREATE SEQUENCE round MAXVALUE 100 CYCLE; SELECT setval('round', 99)});
my $plan = q{SELECT string_agg(relation || ': ' || command || ': ' || reason, E'\n' ORDER BY relation::text) FROM dbopt.maintenance_plan() WHERE command LIKE 'ALTER SEQUENCE%'};
my $expected = "down: ALTER SEQUENCE public.down MINVALUE ...: 95 % of its values are used\n" .
  "down_from: ALTER SEQUENCE public.down_from MINVALUE ...: 98 % of its values are used";
is(sql($plan), "$expected\nup: ALTER SEQUENCE public.up MAXVALUE ...: 80 % of its values are used", 'sequences near their end, whichever it is');
my ($i, $o, $e) = ('', '', '');
my $alter = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', q{BEGIN; ALTER SEQUENCE up CACHE 2; SELECT pg_sleep(600)} ], '<', \$i, '>', \$o, '2>', \$e);
soon(q{EXISTS (SELECT FROM pg_locks WHERE relation = 'up'::regclass AND mode = 'ShareRowExclusiveLock' AND granted)});
# A wait would last until the other session ends, which it does not.
my ($rc, $out, $err) = $node->psql('postgres', "SET lock_timeout = '60s'; $plan");
is("$rc $out $err", "0 $expected ", 'a sequence that is being altered is left out, not waited for');
is($node->psql('postgres', q{SET lock_timeout = '60s'; SELECT count(*) FROM dbopt._sequences()}), 0, 'nor when health looks at them');
sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; ALTER SEQUENCE%'});
eval { $alter->finish };
ok(no_crash($node), 'no crash');
$node->stop;
done_testing();
