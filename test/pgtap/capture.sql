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
-- Foreign keys refuse a statement after it has run; what comes next must not be charged with its time.
CREATE TABLE cap.parent (id int PRIMARY KEY);
CREATE TABLE cap.child (id int, parent int REFERENCES cap.parent);
CREATE FUNCTION cap.folded() RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$BEGIN RETURN (SELECT count(*) FROM cap.t WHERE id > 77); END$$;
BEGIN;
SAVEPOINT a;
\set ON_ERROR_STOP off
INSERT INTO cap.child SELECT 1, 5 FROM pg_sleep(0.3);
\set ON_ERROR_STOP on
ROLLBACK TO a;
SELECT 1 AS cap_innocent;
COMMIT;
SELECT cap.folded();
-- A cursor that dies with its subtransaction, twenty times: none takes another statement's place.
SET dbopt.capture = 'all';
BEGIN;
SELECT unnest(string_to_array(format('SAVEPOINT b; DECLARE cap_d%s CURSOR FOR SELECT * FROM cap.t; FETCH cap_d%s; ROLLBACK TO b', n, n), '; ')) FROM generate_series(1, 20) n \gexec
SELECT 2 + 3 AS cap_afterwards;
COMMIT;
RESET dbopt.capture;
SET dbopt.sample_every = 1;
PREPARE cap_r(text) AS SELECT count(*) FROM cap.t WHERE kind::text = $1;
SELECT format('EXECUTE cap_r(%L)', 'reservoir' || lpad(i::text, 3, '0')) FROM generate_series(1, 300) i \gexec
DEALLOCATE cap_r;
RESET dbopt.sample_every;
BEGIN;
SELECT plan(23);
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
SELECT is(calls || ' ' || errors, '1 1', 'a statement that its foreign key refuses counts') FROM dbopt.workload WHERE query LIKE 'INSERT INTO cap.child%';
SELECT ok(total_ms > 290, 'with its own time') FROM dbopt.workload WHERE query LIKE 'INSERT INTO cap.child%';
SELECT ok(total_ms < 290, 'which the next statement is not charged with') FROM dbopt.workload WHERE query LIKE '%cap_innocent%';
SELECT is((SELECT count(*) FROM dbopt.workload WHERE query LIKE '%id > ?%' AND toplevel), 0::bigint, 'what the planner runs to fold a constant is not a statement of the client');
SELECT is(calls, 1::bigint, 'cursors of aborted subtransactions leave room') FROM dbopt.workload WHERE query LIKE '%cap_afterwards%';
SELECT is(dbopt._redacted($x$select 'it\'s secret1', 1$x$), 'select ?', 'hidden where the reading of a literal depends on a setting');
SELECT is(dbopt._redacted($x$select $é$secret2$é$, 3$x$), 'select ?, ?', 'dollar tags may begin with any letter');
SELECT is(dbopt._redacted($x$select U&'d\0061ta', 3$x$), 'select ?, ?', 'Unicode literals');
SELECT is(dbopt._redacted(E'select ''a''\n  ''b'', 3'), 'select ?, ?', 'a literal on two lines is one');
SELECT is(dbopt._redacted($x$select 'c:\dir', date '2020-01-01'$x$), 'select ?, date ?', 'other backslashes hide nothing else');
SELECT * FROM finish();
ROLLBACK;
DROP SCHEMA cap CASCADE;
