-- Keys of type date.
\set type date
\set encoding auto
\set step '1 day'
\set keep '5 days'
CREATE FUNCTION pg_temp.key(day int) RETURNS date LANGUAGE sql AS $$SELECT current_date + day$$;
SELECT (current_date - 10)::text AS start, pg_temp.key(400) AS further \gset
\ir include/partition_key_type.sql
