-- Observed statements mean what they meant to the session that ran them, whoever asks for advice and
-- whatever schemas he sees. Needs preload; without it every check is skipped.
SELECT NOT available AS absent FROM dbopt._workload_state() \gset
\if :absent
SELECT plan(1);
SELECT skip('dbopt is not preloaded', 1);
SELECT * FROM finish();
\quit
\endif
CREATE TABLE public.o1 AS SELECT g AS id, g % 1000 AS cust, md5(g::text) AS t FROM generate_series(1, 60000) g;
CREATE SCHEMA sp2;
CREATE TABLE sp2.o1 AS TABLE public.o1;
CREATE SCHEMA "sp, ""3";
CREATE TABLE "sp, ""3".only_there AS TABLE public.o1;
ANALYZE public.o1; ANALYZE sp2.o1; ANALYZE "sp, ""3".only_there;
SELECT dbopt.workload_reset() >= 0 AS reset \gset
SELECT format('SELECT count(*) FROM o1 WHERE cust = %s', g) FROM generate_series(1, 30) g \gexec
SET search_path = pg_temp, sp2, public;
SELECT format('SELECT count(*) FROM o1 WHERE id = %s', g) FROM generate_series(1, 30) g \gexec
SET search_path = "sp, ""3";
SELECT format('SELECT count(*) FROM only_there WHERE cust = %s', g) FROM generate_series(1, 30) g \gexec
RESET search_path;

BEGIN;
SELECT plan(15);
SELECT string_agg(substring(ddl FROM ' ON ((?:sp2|public|"sp).*?[(][a-z]+)'), '; ' ORDER BY ddl COLLATE "C") AS advice FROM dbopt.index_suggest() WHERE ddl ~ 'o1|only_there' \gset
SELECT is(:'advice', 'public.o1 (cust; sp2.o1 (id; "sp, ""3".only_there (cust'::text, 'each statement is about the table it read');
SET search_path = pg_catalog;
SELECT string_agg(substring(ddl FROM ' ON ((?:sp2|public|"sp).*?[(][a-z]+)'), '; ' ORDER BY ddl COLLATE "C") AS advice FROM dbopt.index_suggest() WHERE ddl ~ 'o1|only_there' \gset
RESET search_path;
SELECT is(:'advice', 'public.o1 (cust; sp2.o1 (id; "sp, ""3".only_there (cust'::text, 'also for a caller who sees none of them');
SET search_path = sp2, public;
SELECT string_agg(substring(ddl FROM ' ON ((?:sp2|public|"sp).*?[(][a-z]+)'), '; ' ORDER BY ddl COLLATE "C") AS advice FROM dbopt.index_suggest() WHERE ddl ~ 'o1|only_there' \gset
RESET search_path;
SELECT is(:'advice', 'public.o1 (cust; sp2.o1 (id; "sp, ""3".only_there (cust'::text, 'or another one of the same name');
SELECT ok(EXISTS (SELECT FROM dbopt.optimize() WHERE area = 'index' AND action = 'create index' AND object LIKE '%o1' AND command LIKE '%public.o1 (cust%'), 'optimize() has the index for an unqualified name');
SELECT ok(EXISTS (SELECT FROM dbopt.optimize() WHERE area = 'index' AND command LIKE '%"sp, ""3".only_there (cust%'), 'and for one that needed its session''s search_path');

-- Statements that another collector has seen: the path that the role's sessions have.
CREATE ROLE sp_app;
GRANT USAGE ON SCHEMA "sp, ""3" TO sp_app;
GRANT SELECT ON "sp, ""3".only_there TO sp_app;
SELECT matches(dbopt._plan_problem('SELECT * FROM only_there', 'sp_app'::regrole), 'only_there" does not exist', 'not where the role looks');
ALTER ROLE sp_app SET search_path = "sp, ""3";
SELECT is(dbopt._plan_problem('SELECT * FROM only_there', 'sp_app'::regrole), NULL, 'its setting is heeded');
SELECT format('ALTER ROLE sp_app IN DATABASE %I SET search_path = sp2', current_database()) \gexec
SELECT isnt(dbopt._plan_problem('SELECT * FROM only_there', 'sp_app'::regrole), NULL, 'the one in this database comes first');
ALTER ROLE sp_app RESET search_path;
SELECT format('ALTER ROLE sp_app IN DATABASE %I RESET search_path', current_database()) \gexec
SELECT format('ALTER DATABASE %I SET search_path = "$user", "sp, ""3"', current_database()) \gexec
SELECT is(dbopt._plan_problem('SELECT * FROM only_there', 'sp_app'::regrole), NULL, 'then the database''s');
SELECT format('ALTER DATABASE %I RESET search_path', current_database()) \gexec

-- What was temporary in another session is anybody's here.
CREATE ROLE sp_victim;
CREATE ROLE sp_mallory IN ROLE pg_read_all_stats;
CREATE TABLE sp2.seen (who name);
GRANT USAGE ON SCHEMA sp2 TO PUBLIC;
GRANT INSERT ON sp2.seen TO PUBLIC;
SELECT dbopt.workload_reset() >= 0 AS reset \gset
SET ROLE sp_victim;
CREATE TEMP TABLE tmpx AS SELECT g AS id FROM generate_series(1, 20000) g;
SELECT count(*) FROM tmpx WHERE id = 5;
DROP TABLE tmpx;
SET ROLE sp_mallory;
CREATE FUNCTION pg_temp.note() RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO sp2.seen VALUES (current_user) RETURNING 1';
CREATE FUNCTION pg_temp.spy() RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN pg_temp.note(); END';
CREATE TEMP VIEW tmpx AS SELECT 1 AS id WHERE pg_temp.spy() = 1;
GRANT SELECT ON tmpx TO PUBLIC;
SELECT lives_ok('SELECT * FROM dbopt.index_suggest()', 'advice with somebody''s temporary view in the way');
RESET ROLE;
SELECT is_empty($$SELECT * FROM sp2.seen WHERE who = 'sp_victim'$$, 'her code does not run as the one who ran the statement');
DROP VIEW tmpx;

-- Queries inside utility statements count, too.
CREATE TABLE sp2.inside AS SELECT g AS id, g % 5000 AS a, g % 4999 AS b, g % 4987 AS c FROM generate_series(1, 40000) g;
ANALYZE sp2.inside;
SELECT dbopt.workload_reset() >= 0 AS reset \gset
SET search_path = sp2, public;
DECLARE inside_c CURSOR FOR SELECT * FROM inside WHERE a = 4;
FETCH 2 FROM inside_c;
CLOSE inside_c;
COPY (SELECT id FROM inside WHERE b = 5) TO STDOUT;
CREATE TABLE copied AS SELECT * FROM inside WHERE c = 6;
RESET search_path;
SELECT ok(EXISTS (SELECT FROM dbopt.index_suggest() WHERE ddl LIKE '%sp2.inside (a%'), 'a cursor''s query');
SELECT ok(EXISTS (SELECT FROM dbopt.index_suggest() WHERE ddl LIKE '%sp2.inside (b%'), 'that of COPY');
SELECT ok(EXISTS (SELECT FROM dbopt.index_suggest() WHERE ddl LIKE '%sp2.inside (c%'), 'that of CREATE TABLE AS');
SELECT is(current_setting('search_path'), (SELECT reset_val FROM pg_settings WHERE name = 'search_path'), 'the caller''s path is what it was');
SELECT * FROM finish();
ROLLBACK;
DROP SCHEMA sp2 CASCADE;
DROP SCHEMA "sp, ""3" CASCADE;
DROP TABLE public.o1;
