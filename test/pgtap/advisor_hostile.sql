-- Whose code runs: captured statements are planned as the role that ran them, and rows that are sampled
-- for sizes never reach a function of somebody's.
BEGIN;
SELECT plan(9);
SELECT dbopt.workload_reset() IS NOT NULL AS begun \g /dev/null

CREATE ROLE adv_mallory;
CREATE SCHEMA mallory AUTHORIZATION adv_mallory;
CREATE SCHEMA vault;
CREATE TABLE vault.letter (id int, owner name, body text);
INSERT INTO vault.letter SELECT i, CASE WHEN i % 100 = 0 THEN 'adv_mallory' ELSE 'somebody' END, 'letter ' || i FROM generate_series(1, 20000) i;
ALTER TABLE vault.letter ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON vault.letter FOR SELECT USING (owner = current_user);
GRANT USAGE ON SCHEMA vault TO adv_mallory;
GRANT SELECT ON vault.letter TO adv_mallory;
ANALYZE vault.letter;

SET ROLE adv_mallory;
CREATE TABLE mallory.seen (who name, what text);
CREATE FUNCTION mallory.note(t text) RETURNS void LANGUAGE sql VOLATILE AS $$INSERT INTO mallory.seen VALUES (current_user, t)$$;
CREATE FUNCTION mallory.spy(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE COST 0.0001 AS $$BEGIN PERFORM mallory.note(t); RETURN t; END$$;
CREATE DOMAIN mallory.watched AS text CHECK (mallory.spy(VALUE) IS NOT NULL);
SELECT count(*) FROM vault.letter WHERE mallory.spy(body) = 'letter 5' \g /dev/null
SELECT count(*) FROM vault.letter WHERE body = mallory.spy('constant') \g /dev/null
SELECT count(*) FROM vault.letter WHERE (body::mallory.watched)::text = 'letter 7' \g /dev/null
RESET ROLE;
SELECT cmp_ok((SELECT count(*) FROM dbopt.workload WHERE role = 'adv_mallory' AND query LIKE '%vault.letter%'), '>=', 3::bigint, 'the statements were captured');

DELETE FROM mallory.seen;
SELECT lives_ok('SELECT * FROM dbopt.index_suggest()', 'a superuser asks for advice');
SELECT is_empty('SELECT DISTINCT who FROM mallory.seen WHERE who <> ''adv_mallory''', 'nothing of hers ran as anybody else');
SELECT is_empty('SELECT what FROM mallory.seen WHERE what LIKE ''letter %'' AND what NOT IN (''letter 5'', ''letter 7'')', 'no sampled row reached her function');
DELETE FROM mallory.seen;
SELECT lives_ok($$SELECT dbopt.index_size('CREATE INDEX ON vault.letter (mallory.spy(body))')$$, 'the size of an index on her function');
SELECT lives_ok($$SELECT dbopt.index_size('CREATE INDEX ON vault.letter (id) WHERE mallory.spy(body) = ''x''')$$, 'and of one with her function in its predicate');
SELECT is_empty('SELECT * FROM mallory.seen', 'are told without calling it');
SELECT is(current_user, session_user, 'the caller is who he was');
SELECT is(current_setting('search_path'), (SELECT reset_val FROM pg_settings WHERE name = 'search_path'), 'and looks where he looked');
SELECT * FROM finish();
ROLLBACK;
