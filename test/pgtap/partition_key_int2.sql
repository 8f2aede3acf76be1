-- Ids of two bytes, below zero too.
\set type int2
\set encoding auto
\set step '10'
\set keep '80'
CREATE FUNCTION pg_temp.key(day int) RETURNS int2 LANGUAGE sql AS $$SELECT (day * 10 + 9)::int2$$;
SELECT '-100' AS start, 30000 AS further \gset
\ir include/partition_key_type.sql
