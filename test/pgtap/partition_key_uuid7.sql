-- Identifiers that hold their time: uuid version 7.
\set type uuid
\set encoding auto
\set step '1 day'
\set keep '5 days'
CREATE FUNCTION pg_temp.key(day int) RETURNS uuid LANGUAGE sql AS $$SELECT (lpad(to_hex(extract(epoch FROM (current_date + day)::timestamp AT TIME ZONE 'UTC')::bigint * 1000), 12, '0') || '7000' || '8000000000000000')::uuid$$;
SELECT (current_date - 10)::text AS start, pg_temp.key(400) AS further \gset
\ir include/partition_key_type.sql
