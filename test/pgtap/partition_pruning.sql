-- Pruning while planning, while executing, and not at all.
BEGIN;
SELECT plan(8);
SET timezone = 'UTC';
CREATE TABLE pr (ts timestamptz, n int) PARTITION BY RANGE (ts);
SELECT lives_ok($$SELECT dbopt.partition_manage('pr', '1 month', start_at => to_char(now() - interval '8 months', 'YYYY-MM-01'))$$, 'a set of twelve months');
CREATE FUNCTION pg_temp.p(text) RETURNS text LANGUAGE sql AS
$$SELECT string_agg(format('%s %s/%s %s', parent, scanned, partitions, pruned_at), ', ') FROM dbopt.partition_pruning($1)$$;
SELECT is(pg_temp.p(format('SELECT * FROM pr WHERE ts = %L', now())), 'pr 1/12 plan', 'a constant prunes while planning');
SELECT is(pg_temp.p('SELECT * FROM pr WHERE ts > now() + interval ''1 second'' '), 'pr 4/12 execution', 'now() prunes when it is executed');
SELECT is(pg_temp.p('SELECT * FROM pr WHERE ts::date = current_date'), 'pr 12/12 never', 'a function over the key prunes nothing');
SELECT is(pg_temp.p('SELECT * FROM pr WHERE ts < ''1990-01-01'''), 'pr 0/12 plan', 'nothing may be left');
SELECT is(pg_temp.p('SELECT 1'), NULL, 'a query without partitions gives no rows');
SELECT throws_ok($$SELECT dbopt.partition_pruning('SELECT 1; SELECT 2')$$, '42601', NULL, 'one statement only');
SELECT throws_ok($$SELECT dbopt.partition_pruning('VACUUM')$$, '0A000', NULL, 'and a query');
SELECT * FROM finish();
ROLLBACK;
