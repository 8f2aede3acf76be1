-- Ids of four bytes, near their end.
\set type int4
\set encoding auto
\set step '1000'
\set keep '8000'
CREATE FUNCTION pg_temp.key(day int) RETURNS int4 LANGUAGE sql AS $$SELECT 2147400000 + day * 1000$$;
SELECT '2147390000' AS start, 2147483647 - 10 AS further \gset
\ir include/partition_key_type.sql
