-- The rules of C++ inside the server, proved one by one.
BEGIN;
SELECT plan(38);

CREATE FUNCTION pg_temp.complain() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'from below' USING ERRCODE = 'P0042', DETAIL = 'deep detail', HINT = 'deep hint';
END $$;

-- All fields of the error that a call ends with.
CREATE FUNCTION pg_temp.fields(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; message text; detail text; hint text; context text; col text;
BEGIN
    EXECUTE command;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT, col = COLUMN_NAME;
    RETURN concat_ws('|', state, message, detail, hint, col, CASE WHEN command ~ 'rethrown' THEN context ELSE split_part(context, E'\n', 1) END);
END $$;

-- errors arrive whole
SELECT is(pg_temp.fields($$SELECT raise_through('server')$$),
    '23514|said by the server|the detail|the hint|a_column|SQL statement "SELECT raise_through(''server'')"',
    'a server error keeps SQLSTATE, detail, hint and column');
SELECT is(pg_temp.fields($$SELECT raise_through('own')$$),
    '22023|said by us|our detail|our hint||SQL statement "SELECT raise_through(''own'')"',
    'so does an error of our own');
SELECT is(pg_temp.fields($$SELECT raise_through('sql')$$),
    'P0042|from below|deep detail|deep hint||PL/pgSQL function pg_temp_'
        || (SELECT substring(nspname FROM 9) FROM pg_namespace WHERE oid = pg_my_temp_schema())
        || '.complain() line 3 at RAISE',
    'an error from SQL below keeps its CONTEXT, too');
SELECT matches(pg_temp.fields($$SELECT raise_through('rethrown')$$), '^23514.*while doing the work',
    'a line can be added to CONTEXT on the way');

-- exceptions become errors
SELECT throws_ok($$SELECT raise_through('bad_alloc')$$, '53200', 'out of memory', 'bad_alloc is 53200');
SELECT throws_ok($$SELECT raise_through('invalid_argument')$$, '22023', 'not like this', 'invalid_argument is 22023');
SELECT throws_ok($$SELECT raise_through('logic_error')$$, 'XX000', 'a bug', 'another exception is XX000');
SELECT throws_ok($$SELECT raise_through('unknown')$$, 'XX000', 'unknown C++ exception', 'so is anything else');

-- destructors run
SELECT is(catch_many(1000, 'server'), 3000::bigint, 'every destructor ran on server errors');
SELECT is(catch_many(1000, 'own'), 3000::bigint, '… on our own');
SELECT is(catch_many(1000, 'bad_alloc'), 3000::bigint, '… on C++ exceptions');
CREATE TEMP TABLE before AS SELECT destroyed() AS n;
SELECT throws_ok($$SELECT raise_through('server')$$, '23514');
SELECT is(destroyed() - (SELECT n FROM before), 5::bigint, 'and through the boundary');

-- nothing leaks: warmed up, then 100,000 errors of each kind
SELECT catch_many(2000, k) FROM unnest('{server,own,rethrown}'::text[]) k \g /dev/null
CREATE TEMP TABLE rss AS SELECT peak_rss_kb() AS kb;
SELECT is(catch_many(100000, 'server'), 300000::bigint);
SELECT cmp_ok(peak_rss_kb() - (SELECT kb FROM rss), '<=', 1536::bigint, '100,000 server errors leak nothing');
SELECT is(catch_many(100000, 'own'), 300000::bigint);
SELECT is(catch_many(30000, 'rethrown'), 90000::bigint);
SELECT cmp_ok(peak_rss_kb() - (SELECT kb FROM rss), '<=', 1536::bigint, 'nor do errors of our own, or with added context');
DO $$ BEGIN FOR i IN 1 .. 3000 LOOP
    BEGIN PERFORM raise_through('server'); EXCEPTION WHEN check_violation THEN END; END LOOP; END $$;
UPDATE rss SET kb = peak_rss_kb();
DO $$ BEGIN FOR i IN 1 .. 100000 LOOP
    BEGIN PERFORM raise_through('server'); EXCEPTION WHEN check_violation THEN END; END LOOP; END $$;
SELECT cmp_ok(peak_rss_kb() - (SELECT kb FROM rss), '<=', 1536::bigint, 'nor do 100,000 errors through the boundary');
DO $$ BEGIN FOR i IN 1 .. 3000 LOOP PERFORM containers(10); END LOOP; END $$;
UPDATE rss SET kb = peak_rss_kb();
DO $$ BEGIN FOR i IN 1 .. 100000 LOOP PERFORM containers(10); END LOOP; END $$;
SELECT cmp_ok(peak_rss_kb() - (SELECT kb FROM rss), '<=', 1536::bigint, 'nor do 100,000 calls with containers');

-- guards and clean-up
SELECT is(nested_guards(), '23514 same through same second same', 'nested guards restore the jump target');
SELECT is(quietly_outcome('error'), 'went on', 'an error in clean-up is a WARNING');
SELECT is(quietly_outcome('exception'), 'went on', 'so is an exception');
SELECT is(quietly_outcome('unwinding'), '22012 the outer error', 'the outer error survives it');
SELECT is(quietly_outcome('cancel'), 'cancel waits, then 57014', 'a cancel during clean-up is not lost');
SELECT is(holdoff(), 0::bigint, 'interrupts are not held afterwards');

-- subtransactions
SELECT is(subtransaction_outcome('none'), 'kept, table there');
SELECT is(subtransaction_outcome('error'), 'returned 22012, table gone');
SELECT is(subtransaction_outcome('exception'), 'thrown on a bug, table gone');
SELECT is(subtransaction_outcome('cancel'), 'thrown on 57014, table gone', 'a cancel is never swallowed');

-- memory
SELECT is(misaligned(), 0::bigint, 'the memory resource aligns by itself');
SELECT is(too_large(), 'bad_alloc bad_alloc bad_alloc ', 'impossible sizes are bad_alloc, not a jump');
SELECT is(containers(100000), 0::bigint, 'containers work in server memory');
SELECT is(result_outlives_context(), 'still here', 'a query result lives as long as its object');

-- two modules with the same names
SELECT is(who_am_i(), 'first/first');
SELECT is(who_is_the_twin(), 'twin/twin', 'a class of the same name in another module is another class');
SELECT is(who_am_i(), 'first/first');

SELECT cmp_ok(guard_cost_ratio(), '<=', 1.3::float8, 'a guard costs at most 1.3 times PG_TRY');

SELECT * FROM finish();
ROLLBACK;
