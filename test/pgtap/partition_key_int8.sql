-- Ids of eight bytes.
\set type int8
\set encoding auto
\set step '1000000'
\set keep '8000000'
CREATE FUNCTION pg_temp.key(day int) RETURNS int8 LANGUAGE sql AS $$SELECT day::int8 * 1000000$$;
SELECT '-10000000' AS start, 9223372036854775806 AS further \gset
\ir include/partition_key_type.sql
