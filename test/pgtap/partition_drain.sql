-- Rows leave the default partition. Not in one transaction: the procedure commits.
\set VERBOSITY terse
\set ON_ERROR_STOP off
SET client_min_messages = error;
SET timezone = 'UTC';
SELECT plan(16);
CREATE SCHEMA drain;
CREATE TABLE drain.kind (k int PRIMARY KEY);
INSERT INTO drain.kind VALUES (1);
CREATE TABLE drain.ev (id bigint, ts timestamptz, k int REFERENCES drain.kind ON DELETE CASCADE, body text, PRIMARY KEY (id, ts)) PARTITION BY RANGE (ts);
CREATE TABLE drain.fired (what text);
CREATE FUNCTION drain.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO drain.fired VALUES (TG_OP); RETURN NULL; END';
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON drain.ev FOR EACH ROW EXECUTE FUNCTION drain.note();
CREATE TABLE drain.ev_rest PARTITION OF drain.ev DEFAULT;
INSERT INTO drain.ev SELECT i, now() - i * interval '1 day', 1, 'row ' || i FROM generate_series(0, 99) i;
INSERT INTO drain.ev VALUES (1000, 'infinity', 1, 'inf'), (1001, '4000-01-01', 1, 'far'), (1002, '-infinity', 1, 'past');
DELETE FROM drain.fired;
CREATE TABLE drain.before AS SELECT * FROM drain.ev;
SELECT ok(EXISTS (SELECT FROM dbopt.partition_manage('drain.ev', '1 month', default_partition => true) WHERE action = 'drain' AND command LIKE 'CALL%'),
    'rows in the way are named, with the command');
SELECT ok(EXISTS (SELECT FROM dbopt.partition_check('drain.ev') WHERE problem = 'rows in default'), 'the check sees them');
CALL dbopt.partition_drain_default('drain.ev', 10);
SELECT set_eq('SELECT * FROM drain.ev', 'SELECT * FROM drain.before', 'every row is there');
SELECT set_eq('SELECT id FROM drain.ev_rest', 'VALUES (1000::bigint), (1001), (1002)', 'infinity and the far future stay in the default');
SELECT is((SELECT count(*) FROM drain.fired), 0::bigint, 'no trigger fired');
SELECT is((SELECT count(*) FROM dbopt.partitions WHERE parent = 'drain.ev'::regclass AND upper_time <= now()), 
    (SELECT count(DISTINCT date_trunc('month', ts)) - 1 FROM drain.before WHERE id < 1000), 'one partition per month');
SELECT is((SELECT count(*) FROM pg_constraint WHERE conname = '_dbopt_bound'), 0::bigint, 'no helper constraint is left');
SELECT is(count(*), 0::bigint, 'nor a helper table') FROM pg_class WHERE relname LIKE '\_dbopt\_%';
SELECT is(count(*), 0::bigint, 'a second drain finds nothing') FROM dbopt.partition_conversions WHERE kind = 'drain';
SELECT is((SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conname = 'ev_k_fkey' AND convalidated AND connamespace = 'drain'::regnamespace),
    1 + (SELECT count(*) FROM pg_inherits WHERE inhparent = 'drain.ev'::regclass), 'each partition has the foreign key once');
INSERT INTO drain.ev VALUES (5000, now(), 1, 'new');
SELECT is((SELECT count(*) FROM drain.fired), 1::bigint, 'triggers work again');
SELECT lives_ok($$SELECT dbopt.partition_maintain('drain.ev')$$, 'the next round goes on');
SELECT is(count(*), 0::bigint, 'and then nothing is to be done') FROM dbopt.partition_maintain('drain.ev');
SELECT throws_ok($$CALL dbopt.partition_drain_default('drain.ev', 0)$$, NULL, NULL, 'a batch of zero is refused');
CREATE TABLE drain.child (id bigint, ts timestamptz, FOREIGN KEY (id, ts) REFERENCES drain.ev);
INSERT INTO drain.ev VALUES (7, '2001-01-01', 1, 'old');
CALL dbopt.partition_drain_default('drain.ev');
SELECT ok(EXISTS (SELECT FROM drain.ev_rest WHERE id = 7), 'with an incoming foreign key it is refused and nothing happens');
SELECT lives_ok($$DROP SCHEMA drain CASCADE$$, 'all can be dropped');
SELECT * FROM finish();
