-- One statement many times in one transaction: health() says so, as the view and explain() do; what only looks
-- like it stays unmentioned. And the figures of health() are as people read them.
\o /dev/null
SELECT dbopt.workload_reset();
\o
BEGIN;
SELECT plan(17);
CREATE TABLE n1_course (id int PRIMARY KEY, name text);
CREATE TABLE n1_lesson (id int PRIMARY KEY, course int);
INSERT INTO n1_course SELECT i, 'course ' || i FROM generate_series(1, 300) i;
INSERT INTO n1_lesson SELECT i, i % 300 FROM generate_series(1, 3000) i;
CREATE FUNCTION pg_temp.n1(OUT status text, OUT value float8, OUT detail text, OUT advice text) LANGUAGE sql AS
    $$SELECT h.status, h.value, h.detail, h.advice FROM dbopt.health() h WHERE h.check_name = 'n_plus_one_statements'$$;
CREATE FUNCTION pg_temp.per(text) RETURNS float8 LANGUAGE sql AS
    $$SELECT max(calls_per_transaction) FROM dbopt.workload WHERE query LIKE '%' || $1 || '%'$$;

SELECT is((SELECT status FROM pg_temp.n1()), 'ok', 'nothing yet');
SELECT is((SELECT detail FROM pg_temp.n1()), 'none', 'and nothing is named');

-- a loop inside the server is one statement of the client
DO $$BEGIN FOR i IN 1 .. 300 LOOP PERFORM name FROM n1_course WHERE id = i; END LOOP; END$$;
SELECT is((SELECT status FROM pg_temp.n1()), 'ok', 'a loop in a function is no conversation with a client');

-- a hundred times are still too few to speak of
\o /dev/null
SELECT format('SELECT count(*) AS few FROM n1_lesson WHERE id = %s', i) FROM generate_series(1, 90) i \gexec
\o
SELECT cmp_ok(pg_temp.per('AS few'), '>', 10::float8, 'the view shows calls per transaction');
SELECT is((SELECT status FROM pg_temp.n1()), 'ok', 'ninety calls are too few to speak of');

-- what returns many rows a call is no row-by-row reading
\o /dev/null
SELECT format('SELECT id AS many FROM n1_lesson WHERE id > %s', i) FROM generate_series(1, 120) i \gexec
\o
SELECT is((SELECT status FROM pg_temp.n1()), 'ok', 'hundreds of rows a call are another matter');

-- questions to the catalogs (dumps, drivers)
\o /dev/null
SELECT format('SELECT relname FROM pg_catalog.pg_class WHERE oid = %s', i) FROM generate_series(1, 150) i \gexec
\o
SELECT is((SELECT status FROM pg_temp.n1()), 'ok', 'a dump that asks the catalogs is left alone');

-- the pattern itself
\o /dev/null
SELECT format(E'SELECT name\n  FROM n1_course -- one more\n WHERE id = %s', i) FROM generate_series(1, 200) i \gexec
\o
SELECT is((SELECT status FROM pg_temp.n1()), 'warning', 'two hundred lookups in one transaction: a warning');
SELECT is((SELECT value FROM pg_temp.n1()), 1::float8, 'it is one statement');
SELECT is((SELECT detail FROM pg_temp.n1()), '200 times per transaction: SELECT name FROM n1_course WHERE id = ?', 'named on one line, without its constants');
SELECT matches((SELECT advice FROM pg_temp.n1()), 'JOIN or = ANY', 'with what to do');
SELECT is((SELECT finding FROM dbopt.explain(E'SELECT name\n  FROM n1_course\n WHERE id = 7') WHERE node = 'workload'),
          'runs 200 times per transaction', 'explain() of the statement agrees');
SELECT is_empty($$SELECT * FROM dbopt.explain('SELECT count(*) FROM n1_lesson WHERE id = 3') WHERE node = 'workload'$$, 'and says nothing of others');

-- whoever may not see statements is not told that all is well
CREATE ROLE n1_nobody;
SET LOCAL ROLE n1_nobody;
SELECT is((SELECT status FROM dbopt.health() h WHERE h.check_name = 'n_plus_one_statements'), 'skipped', 'without privilege: skipped');
RESET ROLE;

-- figures: at most three decimals above a tenth, three digits below
SELECT is_empty($$SELECT check_name, value FROM dbopt.health('ok', 'deep')
                  WHERE abs(value) >= 0.1 AND value::text ~ '\.\d{4}'$$, 'no figure has more than three decimals');
SELECT is_empty($$SELECT check_name, value FROM dbopt.health('ok', 'deep')
                  WHERE value IS NOT NULL AND length(regexp_replace(value::text, '^-?0?\.?0*|\.|e.*', '', 'g')) > 13$$, 'none is a row of digits');
SELECT ok((SELECT duration_ms::text !~ '\.\d{4}' FROM dbopt.health_summary()), 'nor is the time that it took');
SELECT * FROM finish();
ROLLBACK;
