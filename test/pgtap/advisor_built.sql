-- Advice really built: it fits the budget in bytes on disk, and the workload costs what was promised. On a
-- schema of many joins, skewed references and columns that depend on each other.
BEGIN;
SELECT plan(16);
SET LOCAL jit = off;
SELECT setseed(0.3) \g /dev/null
CREATE SCHEMA built;
CREATE TABLE built.film (id int PRIMARY KEY, name text NOT NULL, kind int NOT NULL, year int);
CREATE TABLE built.person (id int PRIMARY KEY, name text NOT NULL, gender char(1));
CREATE TABLE built.role (id int PRIMARY KEY, role text NOT NULL);
CREATE TABLE built.firm (id int PRIMARY KEY, name text NOT NULL, country text);
CREATE TABLE built.film_firm (film_id int NOT NULL, firm_id int NOT NULL, note text);
CREATE TABLE built.word (id int PRIMARY KEY, word text NOT NULL);
CREATE TABLE built.film_word (film_id int NOT NULL, word_id int NOT NULL);
CREATE TABLE built.credit (film_id int NOT NULL, person_id int NOT NULL, role_id int NOT NULL, note text);
INSERT INTO built.film SELECT i, 'Film ' || md5(i::text), 1 + i % 7, 1950 + (power(random(), 0.5) * 70)::int FROM generate_series(1, 6000) i;
INSERT INTO built.person SELECT i, 'Person ' || md5(i::text), (ARRAY['m', 'f', NULL])[1 + i % 3] FROM generate_series(1, 9000) i;
INSERT INTO built.role SELECT i, 'role ' || i FROM generate_series(1, 12) i;
INSERT INTO built.firm SELECT i, 'Firm ' || md5(i::text), (ARRAY['us', 'us', 'de', 'fr', 'se'])[1 + (power(random(), 2) * 4)::int] FROM generate_series(1, 900) i;
INSERT INTO built.film_firm SELECT 1 + (power(random(), 1.5) * 5999)::int, 1 + (power(random(), 3) * 899)::int, CASE WHEN i % 3 = 0 THEN '(note)' END FROM generate_series(1, 9000) i;
INSERT INTO built.word SELECT i, 'word' || i FROM generate_series(1, 1500) i;
INSERT INTO built.film_word SELECT 1 + (power(random(), 2) * 5999)::int, 1 + (power(random(), 3) * 1499)::int FROM generate_series(1, 15000) i;
INSERT INTO built.credit SELECT 1 + (power(random(), 1.8) * 5999)::int, p, CASE WHEN p % 3 = 0 THEN 1 + i % 2 ELSE 3 + i % 10 END, CASE WHEN i % 4 = 0 THEN '(voice)' END
    FROM (SELECT i, 1 + (power(random(), 2) * 8999)::int AS p FROM generate_series(1, 60000) i) x;
ANALYZE built.film, built.person, built.role, built.firm, built.film_firm, built.word, built.film_word, built.credit;
CREATE TEMP TABLE ask (n int, q text);
INSERT INTO ask VALUES
(1, 'SELECT min(f.name) FROM built.film f, built.film_word fw, built.word w WHERE f.id = fw.film_id AND w.id = fw.word_id AND w.word = ''word700'' AND f.year > 1990'),
(2, 'SELECT min(f.name) FROM built.film f, built.film_firm ff, built.firm c WHERE f.id = ff.film_id AND c.id = ff.firm_id AND c.country = ''se'' AND ff.note IS NULL AND f.kind = 3'),
(3, 'SELECT p.name, count(*) FROM built.person p, built.credit c, built.film f WHERE p.id = c.person_id AND f.id = c.film_id AND f.year = 1975 AND c.role_id = 5 GROUP BY p.name'),
(4, 'SELECT min(p.name) FROM built.person p, built.credit c, built.film f, built.film_word fw, built.word w WHERE p.id = c.person_id AND f.id = c.film_id AND fw.film_id = f.id AND w.id = fw.word_id AND w.word = ''word9'' AND p.gender = ''f'' AND c.note = ''(voice)'''),
(5, 'SELECT min(p.name), min(f.name) FROM built.person p, built.credit c, built.film f, built.film_firm ff, built.firm m, built.role r WHERE p.id = c.person_id AND f.id = c.film_id AND ff.film_id = f.id AND m.id = ff.firm_id AND r.id = c.role_id AND m.country = ''fr'' AND r.role = ''role 7'' AND f.year BETWEEN 1960 AND 1965'),
(6, 'SELECT count(*) FROM built.film f WHERE kind = 2 AND NOT EXISTS (SELECT FROM built.credit c WHERE c.film_id = f.id AND c.role_id = 4)'),
(7, 'SELECT f.name FROM built.film f WHERE year = 2001 ORDER BY name LIMIT 5'),
(8, 'SELECT f.name, (SELECT count(*) FROM built.film_word w WHERE w.film_id = f.id) FROM built.film f WHERE f.kind = 6 AND f.year = 1999'),
(9, 'SELECT c2.person_id, count(*) FROM built.credit c1, built.credit c2 WHERE c1.film_id = c2.film_id AND c1.person_id = 4000 GROUP BY 1 ORDER BY 2 DESC LIMIT 3');
CREATE FUNCTION built.cost(q text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE j json; BEGIN EXECUTE 'EXPLAIN (FORMAT JSON) ' || q INTO j; RETURN (j->0->'Plan'->>'Total Cost')::float8; END $$;
CREATE FUNCTION built.try(budget bigint, OUT promised float8, OUT cost float8, OUT bytes bigint, OUT indexes int, OUT size_error float8) LANGUAGE plpgsql AS $$
DECLARE a record; old bigint := (SELECT sum(pg_indexes_size(oid)) FROM pg_class WHERE relnamespace = 'built'::regnamespace AND relkind = 'r'); estimated bigint := 0;
BEGIN
    BEGIN
        indexes := 0;
        FOR a IN SELECT * FROM dbopt.index_suggest((SELECT array_agg(q ORDER BY n) FROM ask), budget_bytes => budget) LOOP
            EXECUTE a.ddl; promised := a.cost_after; indexes := indexes + 1; estimated := estimated + a.size_bytes;
        END LOOP;
        SELECT sum(pg_indexes_size(oid)) - old INTO bytes FROM pg_class WHERE relnamespace = 'built'::regnamespace AND relkind = 'r';
        SELECT sum(built.cost(q)) INTO cost FROM ask;
        size_error := abs(estimated::float8 / bytes - 1);
        RAISE EXCEPTION 'undo' USING ERRCODE = 'ZZ001';
    EXCEPTION WHEN SQLSTATE 'ZZ001' THEN NULL;
    END;
END $$;
CREATE TEMP TABLE result AS SELECT b AS budget, t.* FROM unnest(ARRAY[400000, 1000000, 3000000, 100000000]) b, built.try(b) t;
SELECT ok(bytes <= budget, format('%s bytes on disk of %s', bytes, budget)) FROM result ORDER BY budget;
SELECT ok(abs(promised / cost - 1) <= 0.02, format('promised %s, really %s', round(promised), round(cost))) FROM result ORDER BY budget;
SELECT ok(size_error <= 0.05, format('sizes together %s %% off', round((100 * size_error)::numeric, 2))) FROM result ORDER BY budget;
SELECT ok(bool_and(cost <= before), 'more bytes never cost more') FROM (SELECT cost, lag(cost, 1, 1e30) OVER (ORDER BY budget) * 1.001 AS before FROM result) x;
SELECT ok((SELECT cost FROM result WHERE budget = 100000000) < 0.3 * (SELECT sum(built.cost(q)) FROM ask), 'and much is gained');
-- Costs by arithmetic against plans, random sets.
CREATE TEMP TABLE figure AS SELECT * FROM dbopt._search_figures((SELECT array_agg(q ORDER BY n) FROM ask));
SELECT cmp_ok((SELECT median_error_pct FROM figure), '<=', 1::float8, 'half of all re-costings are off by less than a hundredth');
SELECT cmp_ok((SELECT p90_error_pct FROM figure), '<=', 5::float8, 'nine of ten by less than a twentieth');
SELECT * FROM finish();
ROLLBACK;
