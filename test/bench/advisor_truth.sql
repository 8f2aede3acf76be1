-- What the advice promises against what building it gives: sizes, and the cost of every query.
-- Run after advisor_star.sql and advisor_star_queries.sql. :budget is in bytes; '' for none.
\set QUIET on
SET search_path = star, public;
SET jit = off;
CREATE OR REPLACE FUNCTION star.cost_of(q text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE j json; BEGIN EXECUTE 'EXPLAIN (FORMAT JSON) ' || q INTO j; RETURN (j->0->'Plan'->>'Total Cost')::float8; END $$;
DROP TABLE IF EXISTS star.advice;
CREATE TABLE star.advice AS SELECT * FROM dbopt.index_suggest((SELECT array_agg(sql ORDER BY n) FROM star.question), budget_bytes => nullif(:'budget', '')::bigint);
ALTER TABLE star.advice ADD COLUMN real_bytes bigint, ADD COLUMN built regclass;
BEGIN;
DO $$ DECLARE a record; BEGIN
FOR a IN SELECT * FROM star.advice ORDER BY rank LOOP
  EXECUTE a.ddl;
  UPDATE star.advice SET built = i.indexrelid, real_bytes = pg_relation_size(i.indexrelid) FROM (SELECT max(indexrelid::oid)::regclass AS indexrelid FROM pg_index) i WHERE rank = a.rank;
END LOOP; END $$;
SELECT count(*) AS indexes, sum(size_bytes) AS estimated_bytes, sum(real_bytes) AS real_bytes,
  round(100.0 * sum(size_bytes) / nullif(sum(real_bytes), 0) - 100, 1) AS total_size_error_pct,
  round((percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(100.0 * size_bytes / real_bytes - 100)))::numeric, 1) AS median_size_error_pct,
  round(max(abs(100.0 * size_bytes / real_bytes - 100)), 1) AS max_size_error_pct FROM star.advice;
SELECT round(max(cost_before)) AS cost_before, round(min(cost_after)) AS promised_cost,
  (SELECT round(sum(star.cost_of(sql))) FROM star.question) AS real_cost FROM star.advice;
SELECT ddl, size_bytes, real_bytes, round(100.0 * size_bytes / real_bytes - 100, 1) AS error_pct FROM star.advice WHERE abs(100.0 * size_bytes / real_bytes - 100) > 8 ORDER BY 4;
ROLLBACK;
