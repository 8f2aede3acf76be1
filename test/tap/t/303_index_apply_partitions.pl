# index_apply on a partitioned table: an index of every level, one build per leaf, attached from below;
# what cannot be done is refused before anything is made.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'dbopt'\ndbopt.naptime = 1\nmax_worker_processes = 20");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]); }

sub eventually
{
	my ($query, $expected) = @_;
	my $seen = '';
	for (1 .. 900) { $seen = sql($query); return $seen if $seen eq $expected; usleep(200_000); }
	return $seen;
}
my $long = 'a_very_long_name_for_a_partition_that_leaves_no_room_for_more_x';
sql(qq{CREATE EXTENSION dbopt;
CREATE TABLE pt (id bigint, created timestamptz NOT NULL, k int, t text) PARTITION BY RANGE (created);
CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM ('2025-01-01') TO ('2025-02-01');
CREATE TABLE pt2 PARTITION OF pt FOR VALUES FROM ('2025-02-01') TO ('2025-03-01') PARTITION BY LIST (k);
CREATE TABLE pt2a PARTITION OF pt2 FOR VALUES IN (0, 1, 2);
CREATE TABLE "$long" PARTITION OF pt2 DEFAULT;
CREATE SCHEMA other;
CREATE TABLE other."Odd ""one" PARTITION OF pt FOR VALUES FROM ('2025-03-01') TO ('2025-04-01') PARTITION BY LIST (k);
INSERT INTO pt SELECT i, timestamptz '2025-01-01' + i % 50 * interval '1 day', i % 7 FROM generate_series(1, 10000) i});

sql(q{SELECT dbopt.index_apply('CREATE INDEX pt_k ON pt (k)', false)});
is(eventually(q{SELECT string_agg(DISTINCT status, ',') FROM dbopt.index_builds}, 'built'), 'built', 'every piece is built');
is(sql(q{SELECT count(*) || ' ' || bool_and(indisvalid) FROM pg_partition_tree('pt_k') JOIN pg_index ON indexrelid = relid}), '6 true', 'one tree of valid indexes');
is(sql(q{SELECT count(*) FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid WHERE i.indrelid IN (SELECT relid FROM pg_partition_tree('pt')) AND NOT c.relispartition AND c.relname <> 'pt_k'}), '0', 'none beside it');
is(sql('SELECT count(*) FROM pg_index WHERE NOT indisvalid'), '0', 'nothing invalid is left');
like(sql('EXPLAIN SELECT * FROM pt2a WHERE k = 1 ORDER BY k LIMIT 1'), qr/Index/, 'and they are used');

# ---- a foreign partition: nothing is made ----
sql(q{CREATE FOREIGN DATA WRAPPER nowhere; CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE far PARTITION OF pt FOR VALUES FROM ('2025-04-01') TO ('2025-05-01') SERVER nowhere});
my ($code, $out, $err) = $node->psql('postgres', q{SELECT dbopt.index_apply('CREATE INDEX pt_t ON pt (t)', false)});
isnt($code, 0, 'refused');
like($err, qr/partition public\.far is a foreign table/, 'with the reason');
is(sql(q{SELECT to_regclass('pt_t') IS NULL AND (SELECT count(*) = 6 FROM dbopt.index_builds)}), 't', 'and nothing changed');
sql('DROP FOREIGN TABLE far');

# ---- a writer holds the table: the caller does not queue behind it for long, nor others behind the caller ----
my $writer = $node->background_psql('postgres');
$writer->query_safe(q{BEGIN; INSERT INTO pt VALUES (1, '2025-01-05', 1, 'x')});
($code, $out, $err) = $node->psql('postgres', q{SELECT dbopt.index_apply('CREATE INDEX pt_t ON pt (t)', false)});
like($err, qr/lock timeout/, 'gives up beside a writer');
is(sql(q{SELECT to_regclass('pt_t') IS NULL}), 't', 'and leaves nothing');
$writer->query_safe('COMMIT');
$writer->quit;

# ---- a reader holds a leaf when its index is to be attached: nobody queues, and it is attached afterwards ----
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; LOCK TABLE pt1 IN ACCESS SHARE MODE');
sql(q{SELECT dbopt.index_apply('CREATE INDEX pt_id ON pt (id)', false)});
is(eventually(q{SELECT count(*) FROM pg_index WHERE indrelid = 'pt1'::regclass AND indisvalid AND pg_get_indexdef(indexrelid) ~ 'btree \(id\)'}, '1'), '1', 'the leaf that is read has its index');
$reader->query_safe('SELECT count(*) FROM pt1 WHERE id = 5');
usleep(7_000_000);
is(sql(q{SET lock_timeout = '5s'; SELECT count(*) >= 0 FROM pt1 WHERE id = 7}), 't', 'another reader passes');
is(sql(q{SELECT count(*) FROM dbopt.index_builds WHERE status = 'failed'}), '0', 'waiting is no failure');
$reader->query_safe('COMMIT');
$reader->quit;
is(eventually(q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'pt_id'::regclass}, 't'), 't', 'attached once the leaf is free');

# ---- an index of the same name that is somebody else's is never dropped ----
sql(q{CREATE TABLE clash (id int, v int); INSERT INTO clash SELECT g, g FROM generate_series(1, 1000) g; SELECT dbopt.pause('advisor')});
sql(q{SELECT dbopt.index_apply('CREATE INDEX precious ON clash (id)', false)});
sql(q{CREATE UNIQUE INDEX precious ON clash (v); SELECT dbopt.resume('advisor')});
is(eventually(q{SELECT status FROM dbopt.index_builds WHERE index = 'public.precious'}, 'failed'), 'failed', 'the name was taken meanwhile');
is(sql(q{SELECT indisunique AND indisvalid FROM pg_index WHERE indexrelid = 'precious'::regclass}), 't', 'its index stays');

# ---- asked for twice: built once; another name for another index ----
is(sql(q{CREATE TABLE twice (id int, v int); SELECT a = b FROM (SELECT dbopt.index_apply('CREATE INDEX ON twice (id)', false) AS a) x, LATERAL (SELECT dbopt.index_apply('CREATE INDEX ON twice (id)', false) AS b OFFSET 0) y}), 't', 'the same run');
is(eventually(q{SELECT string_agg(status, ',') FROM dbopt.index_builds WHERE relation = 'twice'::regclass}, 'built'), 'built', 'one build');
is(sql(q{SELECT bool_and(indisvalid) AND count(*) = 1 FROM pg_index WHERE indrelid = 'twice'::regclass}), 't', 'one index');

# ---- a unique index is a rule, not a gain ----
sql(q{CREATE TABLE rule (id int, v int); INSERT INTO rule SELECT g, g FROM generate_series(1, 5000) g; ANALYZE rule; SELECT count(*) FROM rule WHERE id = 5});
sql(q{SELECT dbopt.index_apply('CREATE UNIQUE INDEX rule_v ON rule (v)')});
is(eventually(q{SELECT status FROM dbopt.index_builds WHERE index = 'public.rule_v'}, 'built'), 'built', 'kept though no statement gains');
is(sql(q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'rule_v'::regclass}), 't', 'and there');

# ---- what a failed build leaves goes ----
sql(q{CREATE TABLE doubled (id int); INSERT INTO doubled VALUES (1), (1)});
sql(q{SELECT dbopt.index_apply('CREATE UNIQUE INDEX doubled_id ON doubled (id)')});
is(eventually(q{SELECT status FROM dbopt.index_builds WHERE index = 'public.doubled_id'}, 'failed'), 'failed', 'duplicates refuse a unique index');
is(eventually(q{SELECT count(*) FROM pg_index WHERE indrelid = 'doubled'::regclass}, '0'), '0', 'its invalid leftover is removed');

# ---- what a failed build on a materialized view leaves goes, too ----
sql(q{CREATE MATERIALIZED VIEW doubled_view AS SELECT 1 AS x FROM generate_series(1, 2)});
sql(q{SELECT dbopt.index_apply('CREATE UNIQUE INDEX doubled_view_x ON doubled_view (x)')});
is(eventually(q{SELECT status FROM dbopt.index_builds WHERE index = 'public.doubled_view_x'}, 'failed'), 'failed', 'duplicates in a materialized view');
is(eventually(q{SELECT count(*) FROM pg_index WHERE indrelid = 'doubled_view'::regclass}, '0'), '0', 'and nothing is left');

# ---- the caller's transaction keeps its settings; names mean in the worker what they mean to the caller ----
is(sql(q{CREATE SCHEMA app; CREATE FUNCTION app.f(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 % 7'; SET search_path = app, public;
	BEGIN; SELECT dbopt.index_apply('CREATE INDEX pt_f ON pt (f(k))', false) > 0; SHOW lock_timeout; COMMIT}), "t\n0", 'no lock timeout is left behind');
is(eventually(q{SELECT coalesce((SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('pt_f')), false)}, 't'), 't', 'a function of a schema that only the caller sees');

# ---- while it is built nobody is told to drop it; one that cannot be built concurrently can be dropped all the same ----
sql(q{SELECT dbopt.pause('advisor'); SELECT dbopt.index_apply('CREATE INDEX pt_waits ON pt (id, k)', false)});
is(sql(q{SELECT bool_and(being_built) FROM dbopt.index_invalid WHERE index::text IN ('pt_waits', 'pt2_pt_waits')}), 't', 'levels that wait for their leaves are being built');
sql(q{SELECT dbopt.resume('advisor')});
is(eventually(q{SELECT coalesce((SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('pt_waits')), false)}, 't'), 't', 'built');

# ---- no partition at all ----
sql(q{SELECT dbopt.index_expect('CREATE INDEX ON public.bare (id)')});
sql('CREATE TABLE bare (id int) PARTITION BY RANGE (id)');
sql(q{SELECT dbopt.index_apply('CREATE INDEX bare_id ON bare (id)', false)});
is(sql(q{SELECT indisvalid FROM pg_index WHERE indexrelid = 'bare_id'::regclass}), 't', 'an index of a table without partitions is there at once');
is(sql(q{SELECT dbopt.index_apply('CREATE INDEX bare_again ON bare (id)', false) < 0}), 't', 'recorded, though no run made it');
is(sql(q{SELECT status FROM dbopt.index_builds WHERE index = 'public.bare_again'}), 'built', 'as built');
$node->stop;
done_testing();
