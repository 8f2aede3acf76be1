-- Cancel and terminate in the middle of C++ frames, from a second session.
SELECT plan(6);

CREATE FUNCTION pg_temp.until(condition text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE yes boolean;
BEGIN
    FOR i IN 1 .. 3000 LOOP
        PERFORM pg_stat_clear_snapshot();
        EXECUTE 'SELECT ' || condition INTO yes;
        IF yes THEN RETURN true; END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN false;
END $$;
-- The other session's error; throws_ok does not see cancels, for OTHERS leaves them out.
CREATE FUNCTION pg_temp.state_of_result() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM * FROM dblink_get_result('other') r(x text);
    RETURN 'no error';
EXCEPTION WHEN query_canceled THEN RETURN SQLSTATE;
END $$;
SELECT dblink_connect('other', format('host=%s port=%s dbname=%s user=%s application_name=victim',
    split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'),
    current_database(), current_user)) \g /dev/null
CREATE TEMP TABLE victim AS SELECT * FROM dblink('other', 'SELECT pg_backend_pid(), destroyed()') v(pid int, n bigint);

SELECT dblink_send_query('other', 'SELECT wait_for_cancel()') \g /dev/null
SELECT pg_temp.until($$ EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'victim'
    AND state = 'active' AND query ~ '^SELECT wait_for') $$) \g /dev/null
SELECT pg_cancel_backend(pid) FROM victim \g /dev/null
SELECT is(pg_temp.state_of_result(), '57014', 'a cancel arrives as 57014');
SELECT * FROM dblink_get_result('other') r(x text) \g /dev/null
SELECT is((SELECT d FROM dblink('other', 'SELECT destroyed()') r(d bigint)), (SELECT n + 1 FROM victim),
    'and ran the destructor');
SELECT is((SELECT h FROM dblink('other', 'SELECT holdoff()') r(h bigint)), 0::bigint, 'interrupts are not held');

-- once more: the session can still be cancelled
SELECT dblink_send_query('other', 'SELECT wait_for_cancel()') \g /dev/null
SELECT pg_temp.until($$ EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'victim'
    AND state = 'active' AND query ~ '^SELECT wait_for') $$) \g /dev/null
SELECT pg_cancel_backend(pid) FROM victim \g /dev/null
SELECT is(pg_temp.state_of_result(), '57014', 'it can be cancelled again');
SELECT * FROM dblink_get_result('other') r(x text) \g /dev/null

SELECT dblink_send_query('other', 'SELECT wait_for_cancel()') \g /dev/null
SELECT pg_terminate_backend(pid) FROM victim \g /dev/null
SELECT ok(pg_temp.until($$ NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'victim') $$),
    'terminate ends the session');
SELECT dblink_disconnect('other') \g /dev/null
SELECT ok(now() - pg_postmaster_start_time() IS NOT NULL AND NOT pg_is_in_recovery(), 'and nothing else');
SELECT * FROM finish();
