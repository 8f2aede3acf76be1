-- setup(), status() and optimize(): what they propose, that planning changes nothing, and that a room
-- that fails or is missing never hides the others.
\set QUIET 1
\pset format unaligned
\pset tuples_only true
BEGIN;
SELECT plan(24);

-- Large by its statistics, with a time column in the order of the rows.
CREATE SCHEMA shop;
CREATE TABLE shop.events (id bigint, at timestamptz NOT NULL, kind text);
CREATE TABLE shop.orders (id bigint PRIMARY KEY, placed_at timestamptz NOT NULL);
CREATE TABLE shop.prices (id bigint, updated_at timestamptz NOT NULL);
CREATE TABLE shop.shuffled (id bigint, at timestamptz NOT NULL);
CREATE TABLE shop.tiny (id bigint, at timestamptz NOT NULL);
INSERT INTO shop.events SELECT i, now() - interval '400 days' + i * interval '1 hour', 'x' FROM generate_series(1, 9600) i;
INSERT INTO shop.orders SELECT id, at FROM shop.events;
INSERT INTO shop.prices SELECT id, at FROM shop.events;
INSERT INTO shop.shuffled SELECT id, at FROM shop.events ORDER BY md5(id::text);
INSERT INTO shop.tiny SELECT id, at FROM shop.events;
ANALYZE shop.events; ANALYZE shop.orders; ANALYZE shop.prices; ANALYZE shop.shuffled; ANALYZE shop.tiny;
UPDATE pg_class SET reltuples = 2000000 WHERE relnamespace = 'shop'::regnamespace AND relkind = 'r' AND relname <> 'tiny';

SELECT is((SELECT count(*)::int FROM dbopt.status() WHERE component = 'version' AND state = 'ok'), 1, 'status names the version');
SELECT is((SELECT count(*)::int FROM dbopt.status() WHERE component = 'preload'), 1, 'status says whether dbopt is preloaded');
SELECT is((SELECT count(*)::int FROM dbopt.status() WHERE component LIKE 'extension %'), 3, 'status lists the optional extensions');
SELECT is((SELECT count(*)::int FROM dbopt.status() WHERE state IS NULL OR detail IS NULL), 0, 'each row of status says something');

SELECT throws_ok($$SELECT * FROM dbopt.setup('prod')$$, '22023', NULL, 'an unknown environment is refused');
SELECT throws_ok($$SELECT * FROM dbopt.setup(NULL)$$, '22023', NULL, 'so is none');
SELECT lives_ok(format('SELECT * FROM dbopt.setup(%L)', e), 'setup plans for ' || e)
FROM unnest(ARRAY['development', 'test', 'staging', 'high-load']) e;

CREATE TEMP TABLE plan AS SELECT * FROM dbopt.setup();
SELECT is((SELECT command FROM plan WHERE object = 'shop.events'),
    $$CALL dbopt.partition_convert('shop.events', 'at', '1 month')$$, 'a large table that grows by time is worth partitioning');
SELECT is((SELECT status || ': ' || detail FROM plan WHERE object = 'shop.orders'),
    'skipped: unique index shop.orders_pkey does not contain placed_at', 'a key without the time column is an obstacle, by name');
SELECT is((SELECT count(*)::int FROM plan WHERE object = 'shop.prices'), 0, 'a time that is changed is no partition key');
SELECT is((SELECT count(*)::int FROM plan WHERE object = 'shop.shuffled'), 0, 'nor one without order');
SELECT is((SELECT count(*)::int FROM plan WHERE object = 'shop.tiny'), 0, 'a small table is left alone');
SELECT is((SELECT count(*)::int FROM plan WHERE status NOT IN ('planned', 'skipped')), 0, 'planning carries nothing out');
SELECT is((SELECT relkind FROM pg_class WHERE oid = 'shop.events'::regclass), 'r', 'and changes nothing');

CREATE TABLE shop.log (at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE shop.log_1 PARTITION OF shop.log FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
SELECT is((SELECT command FROM dbopt.setup() WHERE object = 'shop.log'),
    $$SELECT * FROM dbopt.partition_manage('shop.log', '1 month', retention => '24 months')$$,
    'an unmanaged monthly set gets 3 partitions ahead and 24 months of retention');

SELECT is((SELECT count(*)::int FROM dbopt.optimize() WHERE object = 'shop.events' AND action = 'partition' AND status = 'planned'),
    1, 'optimize has the table, too');
SELECT is((SELECT count(*)::int FROM dbopt.optimize() WHERE status NOT IN ('planned', 'skipped')), 0, 'every room answers; planning carries nothing out');
SELECT is((SELECT count(*)::int FROM dbopt.optimize() WHERE area IS NULL OR action IS NULL OR reason IS NULL), 0,
    'each advice says where, what and why');

-- A room that fails, one that is missing, one that works.
SAVEPOINT rooms;
CREATE OR REPLACE FUNCTION dbopt._advice_sources() RETURNS TABLE (area text, query text, quick boolean)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    VALUES ('broken', 'SELECT 1 / (x - x), NULL, NULL, NULL, NULL, NULL, NULL FROM generate_series(1, 1) x', true),
           ('absent', 'SELECT * FROM dbopt.no_such_function()', true),
           ('fine', $q$VALUES (1, 'a', 'later', NULL, 'because', NULL, 'self'), (2, 'b', 'first', 'SELECT 7', 'because', NULL, 'sql')$q$, true) $$;
SELECT results_eq('SELECT area, action, status FROM dbopt.optimize()',
    $$VALUES ('fine', 'first', 'planned'), ('fine', 'later', 'planned'), ('broken', 'ask', 'failed')$$,
    'a failing room is a row, a missing one is left out, the rest is ranked');
SELECT results_eq('SELECT area, action, status FROM dbopt.optimize(dry_run => false)',
    $$VALUES ('fine', 'first', 'done'), ('fine', 'later', 'planned'), ('broken', 'ask', 'failed')$$,
    'carried out is only what optimize may carry out');
ROLLBACK TO rooms;

CREATE ROLE overview_reader;
SET ROLE overview_reader;
SELECT throws_ok('SELECT * FROM dbopt.setup()', '42501', NULL, 'setup is not for everybody');
RESET ROLE;
SELECT * FROM finish();
ROLLBACK;
