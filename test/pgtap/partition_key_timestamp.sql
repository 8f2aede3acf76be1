-- Keys of type timestamp.
\set type timestamp
\set encoding auto
\set step '1 day'
\set keep '5 days'
CREATE FUNCTION pg_temp.key(day int) RETURNS timestamp LANGUAGE sql AS $$SELECT (current_date + day)::timestamp + interval '23:59:59.999999'$$;
SELECT (current_date - 10)::text AS start, pg_temp.key(400) AS further \gset
\ir include/partition_key_type.sql
