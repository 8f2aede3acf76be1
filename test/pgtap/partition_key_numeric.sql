-- Numeric ids, with fractions.
\set type numeric
\set encoding auto
\set step '100'
\set keep '800'
CREATE FUNCTION pg_temp.key(day int) RETURNS numeric LANGUAGE sql AS $$SELECT day * 100 + 0.5$$;
SELECT '-1000' AS start, 1e30 AS further \gset
\ir include/partition_key_type.sql
