-- The observed workload. Needs preload; without it every check is skipped.
SELECT NOT available AS absent FROM dbopt._workload_state() \gset
\if :absent
SELECT plan(1);
SELECT skip('dbopt is not preloaded', 1);
SELECT * FROM finish();
\quit
\endif
CREATE SCHEMA cap;
CREATE TABLE cap.t AS SELECT i AS id, i % 10 AS kind FROM generate_series(1, 1000) i;
SELECT dbopt.workload_reset() >= 0 AS reset \gset
SELECT count(*) FROM cap.t WHERE kind = 3;
SELECT count(*) FROM cap.t WHERE kind = 4;
PREPARE cap_p(int) AS SELECT id FROM cap.t WHERE kind = $1;
EXECUTE cap_p(1);
EXECUTE cap_p(2);
DEALLOCATE cap_p;
DO $$ BEGIN PERFORM count(*) FROM cap.t WHERE id > 5; END $$;
\set ON_ERROR_STOP off
SELECT id / (kind - 3) FROM cap.t;
\set ON_ERROR_STOP on
BEGIN; DECLARE cap_c CURSOR FOR SELECT * FROM cap.t ORDER BY id; FETCH 7 FROM cap_c; FETCH 3 FROM cap_c; COMMIT;
SELECT 'sec' || 'ret' AS x;
SET dbopt.sample_every = 1;
PREPARE cap_r(text) AS SELECT count(*) FROM cap.t WHERE kind::text = $1;
SELECT format('EXECUTE cap_r(%L)', 'reservoir' || lpad(i::text, 3, '0')) FROM generate_series(1, 300) i \gexec
DEALLOCATE cap_r;
RESET dbopt.sample_every;
BEGIN;
SELECT plan(13);
SELECT is(calls, 2::bigint, 'constants do not tell statements apart') FROM dbopt.workload WHERE query = 'SELECT count(*) FROM cap.t WHERE kind = ?';
SELECT is(rows, 2::bigint, 'rows are counted') FROM dbopt.workload WHERE query = 'SELECT count(*) FROM cap.t WHERE kind = ?';
SELECT is(calls, 2::bigint, 'EXECUTE counts as the prepared statement') FROM dbopt.workload WHERE query LIKE '%id FROM cap.t WHERE kind = $1';
SELECT is(rows, 200::bigint, 'and its rows are those of the statement') FROM dbopt.workload WHERE query LIKE '%id FROM cap.t WHERE kind = $1';
SELECT ok(samples > 0, 'a set of parameters is kept') FROM dbopt.workload WHERE query LIKE '%id FROM cap.t WHERE kind = $1';
SELECT is((SELECT count(*) FROM dbopt.workload WHERE query LIKE '%id > %' AND toplevel), 0::bigint, 'a statement inside DO is not counted by default');
SELECT is(errors, 1::bigint, 'a statement that ends in an error counts') FROM dbopt.workload WHERE query LIKE 'SELECT id /%';
SELECT is(sum(rows), 10::numeric, 'fetched rows') FROM dbopt.workload WHERE query LIKE 'FETCH ? FROM cap_c';
SELECT is((SELECT count(*) FROM dbopt.workload WHERE query LIKE '%''sec''%'), 0::bigint, 'literals are not shown');
SELECT ok((SELECT bool_and(p50_ms <= p95_ms AND p95_ms <= p99_ms AND p99_ms <= max_ms AND min_ms <= p50_ms) FROM dbopt.workload), 'percentiles are ordered and within the extremes');
SELECT is(samples, 4::bigint, 'four sets of 300 are kept') FROM dbopt.workload WHERE query LIKE '%WHERE kind::text = $1';
SELECT ok(count(DISTINCT n) = 4 AND max(n) - min(n) > 3, 'and not just the first or the last ones') FROM (SELECT (regexp_matches(encode(pg_read_binary_file('pg_stat_tmp/dbopt_samples.stat'), 'escape'), 'reservoir(\d{3})', 'g'))[1]::int AS n) r;
SELECT is(dbopt._redacted(E'SELECT 1, ''a''''b'', E''x\\''y'', $$z$$, $1, t2.c3, "q 1", 1.5e-3 -- c\n/* x /* y */ */ FROM t'), 'SELECT ?, ?, ?, ?, $1, t2.c3, "q 1", ? FROM t', 'redaction');
SELECT * FROM finish();
ROLLBACK;
DROP SCHEMA cap CASCADE;
