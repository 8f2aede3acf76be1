# The workload seeded from pg_stat_statements, texts kept without their literals, capture switched off
# and on, builds that wait for their window and that are taken back by what was measured.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Dbopt::Test;

my $node = dbopt_cluster('capture_seed', "dbopt.capture = none\ndbopt.index_watch = 40");
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_stat_statements, dbopt'");
$node->start;
sub sql { return $node->safe_psql('postgres', $_[0]) }
sub eventually
{
	my ($query, $wanted) = @_;
	my $got = '';
	for (1 .. 900) { $got = sql($query); return $got if $got eq $wanted; usleep(200_000); }
	return $got;
}
sql(q{
	CREATE EXTENSION dbopt;
	CREATE EXTENSION pg_stat_statements;
	CREATE TABLE t AS SELECT i AS id, i % 5000 AS k, i % 7000 AS m, repeat('x', 50) AS pad FROM generate_series(1, 50000) i;
	ANALYZE t;
});
sql('SELECT pg_stat_statements_reset(); SELECT count(*) FROM t WHERE k = 17');
sql(q{SELECT count(*) FROM t WHERE k = 18 AND id > 5; SELECT now() + interval '1 day'});
is(sql(q{SELECT count(*) FROM dbopt.workload WHERE query LIKE '%FROM t%'}), '0', 'switched off, nothing is observed');

# ---- seeding ----
is(sql(q{SELECT string_agg(status, ',' ORDER BY query) FROM dbopt.workload_seed() WHERE query LIKE 'SELECT count(*) FROM t%'}), 'done,done', 'seeded');
is(sql(q{SELECT DISTINCT status FROM dbopt.workload_seed() WHERE query LIKE '%interval%'}), 'skipped', 'a text that no longer parses is skipped');
is(sql(q{SELECT DISTINCT status FROM dbopt.workload_seed() WHERE query LIKE 'SELECT count(*) FROM t%'}), 'skipped', 'what is there is not added twice');
is(sql(q{SELECT string_agg(calls::text, ',') FROM dbopt.workload WHERE query LIKE 'SELECT count(*) FROM t%'}), '1,1', 'with their calls');
like(sql('SELECT ddl FROM dbopt.index_suggest()'), qr/ON public\.t \(k/, 'and advised on');

# ---- switched on by a reload, redacted ----
sql('SELECT dbopt.workload_reset()');
$node->append_conf('postgresql.conf', "dbopt.capture = top\ndbopt.capture_redact = on");
$node->reload;
is(eventually('SHOW dbopt.capture_redact', 'on'), 'on', 'reloaded');
sql(q{SELECT pad FROM t WHERE m = 4242 AND pad <> 'secret'}) for 1 .. 3;
is(sql(q{SELECT sum(calls) FROM dbopt.workload WHERE query LIKE 'SELECT pad FROM t%'}), '3', 'observed once there is something to observe');
$node->stop;
unlike(slurp_file($node->data_dir . '/pg_stat/dbopt_workload.stat'), qr/secret|4242/, 'no literal is kept');
$node->start;
like(sql('SELECT ddl FROM dbopt.index_suggest()'), qr/ON public\.t \(m\)/, 'and the statement can still be planned');

# ---- a window ----
my $run = sql(q{SELECT dbopt.index_apply('CREATE INDEX later ON t (id)', false, (localtime + interval '3 hours')::time, (localtime + interval '4 hours')::time)});
ok(sql("SELECT not_before > now() + interval '2 hours' FROM dbopt.run WHERE run_id = $run") eq 't', 'waits for its window');
ok(sql('SELECT estimated_ms > 0 AND estimated_bytes > 0 FROM dbopt.index_builds LIMIT 1') eq 't', 'time and size are estimated beforehand');

# ---- measured: nobody reads it, so it goes ----
sql(q{SELECT dbopt.index_apply('CREATE INDEX for_m ON t (m)')});
is(eventually(q{SELECT status FROM dbopt.index_builds WHERE index LIKE '%for_m'}, 'kept'), 'kept', 'planned cheaper: kept');
sql(q{SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;} . q{SELECT pad FROM t WHERE m = 1 AND pad <> 'y';} x 30);
is(eventually(q{SELECT status FROM dbopt.index_builds WHERE index LIKE '%for_m'}, 'dropped'), 'dropped', 'but no statement read it while it was watched');
is(eventually(q{SELECT to_regclass('for_m') IS NULL}, 't'), 't', 'and it is gone');

# ---- a watch that ended long ago (an old backup restored): held, not dropped; a paused room drops nothing ----
sql(q{SELECT dbopt.index_apply('CREATE INDEX again_m ON t (m)')});
is(eventually(q{SELECT status FROM dbopt.index_builds WHERE index LIKE '%again_m'}, 'kept'), 'kept', 'built again');
sql(q{SELECT dbopt.pause('advisor')});
sql(q{UPDATE dbopt._index_build SET watched_until = now() - interval '8 days', calls_then = calls_then - 50 WHERE index_name = 'again_m'});
usleep(4_000_000);
is(sql(q{SELECT count(*) FROM dbopt.holds WHERE area = 'advisor'}), '0', 'a paused room judges nothing');
sql(q{SELECT dbopt.resume('advisor')});
is(eventually(q{SELECT count(*) FROM dbopt.holds WHERE area = 'advisor' AND object LIKE '%again_m'}, '1'), '1', 'the drop is held');
is(sql(q{SELECT status FROM dbopt.index_builds WHERE index LIKE '%again_m'}), 'kept', 'the build is as it was');
is(sql(q{SELECT to_regclass('again_m') IS NOT NULL}), 't', 'and the index is there');
sql(q{UPDATE dbopt._index_build SET watched_until = now() - interval '1 min' WHERE index_name = 'again_m'});
is(eventually(q{SELECT to_regclass('again_m') IS NULL}, 't'), 't', 'in time it would have been dropped');
is(eventually(q{SELECT count(*) FROM dbopt.holds WHERE area = 'advisor'}, '0'), '0', 'and the hold is over');
$node->stop;
done_testing();
