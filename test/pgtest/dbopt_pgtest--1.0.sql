-- One function per rule; t/*.sql call them.
CREATE FUNCTION destroyed() RETURNS bigint LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_destroyed';
CREATE FUNCTION raise_through(kind text) RETURNS text LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_raise';
CREATE FUNCTION catch_many(n int, kind text) RETURNS bigint
    LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_catch_many';
CREATE FUNCTION peak_rss_kb() RETURNS bigint LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_peak_rss';
CREATE FUNCTION wait_for_cancel() RETURNS void LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_wait';
CREATE FUNCTION holdoff() RETURNS bigint LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_holdoff';
CREATE FUNCTION quietly_outcome(kind text) RETURNS text LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_quietly';
CREATE FUNCTION nested_guards() RETURNS text LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_nested';
CREATE FUNCTION misaligned() RETURNS bigint LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_misaligned';
CREATE FUNCTION too_large() RETURNS text LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_too_large';
CREATE FUNCTION result_outlives_context() RETURNS text
    LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_outlives';
CREATE FUNCTION subtransaction_outcome(kind text) RETURNS text
    LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_subtransaction';
CREATE FUNCTION containers(n int) RETURNS bigint LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_containers';
CREATE FUNCTION guard_cost_ratio() RETURNS float8 LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_cost';
CREATE FUNCTION who_am_i() RETURNS text LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_who';
CREATE FUNCTION who_is_the_twin() RETURNS text LANGUAGE c AS 'dbopt_pgtwin', 'dbopt_pgtwin_who';
CREATE FUNCTION like_heap(internal) RETURNS table_am_handler LANGUAGE c AS 'dbopt_pgtest', 'dbopt_pgtest_access_method';
