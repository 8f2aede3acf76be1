-- Keys of type timestamptz.
\set type timestamptz
\set encoding auto
\set step '1 day'
\set keep '5 days'
CREATE FUNCTION pg_temp.key(day int) RETURNS timestamptz LANGUAGE sql AS $$SELECT (current_date + day)::timestamp AT TIME ZONE 'UTC' + interval '5 hours'$$;
SELECT (current_date - 10)::text AS start, pg_temp.key(400) AS further \gset
\ir include/partition_key_type.sql
