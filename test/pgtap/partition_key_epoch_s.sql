-- Epoch seconds.
\set type bigint
\set encoding s
\set step '1 day'
\set keep '5 days'
CREATE FUNCTION pg_temp.key(day int) RETURNS bigint LANGUAGE sql AS $$SELECT extract(epoch FROM (current_date + day)::timestamp AT TIME ZONE 'UTC')::bigint + 86399$$;
SELECT (current_date - 10)::text AS start, pg_temp.key(400) AS further \gset
\ir include/partition_key_type.sql
