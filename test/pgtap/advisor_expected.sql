-- Expected indexes that are missing are a warning; redaction and seeding of the workload.
BEGIN;
SELECT plan(9);
SELECT is((SELECT status FROM dbopt.health() WHERE check_name = 'indexes_expected_missing'), 'ok', 'nothing is expected');
SELECT lives_ok($$SELECT dbopt.index_expect('CREATE INDEX tomorrow_a ON public.tomorrow (a)')$$, 'an index for a table yet to come');
SELECT is((SELECT status FROM dbopt.health() WHERE check_name = 'indexes_expected_missing'), 'warning', 'is missing');
SELECT matches((SELECT detail FROM dbopt.health() WHERE check_name = 'indexes_expected_missing'), 'tomorrow_a', 'by name');
SELECT ok(NOT building, 'and not being built') FROM dbopt._index_expected_missing;

SELECT ok(pg_get_function_result('dbopt.index_apply(text,boolean,time,time)'::regprocedure) = 'bigint', 'index_apply takes a window');
SELECT throws_ok('SELECT * FROM dbopt.workload_seed()', '42704', NULL, 'no pg_stat_statements, no seed');
SELECT ok(dbopt._plan_problem('SELECT interval $1', 10::oid) IS NOT NULL, 'a normalised text that does not parse');
SELECT ok(dbopt._plan_problem('SELECT * FROM pg_class WHERE relname = $1', 10::oid) IS NULL, 'one that does');
SELECT * FROM finish();
ROLLBACK;
