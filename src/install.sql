-- What every room stands on. The schema itself is created by dbopt.control.
-- Functions that change anything are revoked from PUBLIC by the room that creates them.
GRANT USAGE ON SCHEMA dbopt TO PUBLIC;

CREATE FUNCTION dbopt.version() RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbopt_version';
COMMENT ON FUNCTION dbopt.version() IS 'version of the dbopt library that is loaded';

CREATE FUNCTION dbopt._bytes(relation oid, whole boolean DEFAULT false) RETURNS bigint
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbopt_bytes';
COMMENT ON FUNCTION dbopt._bytes(oid, boolean) IS
    'internal: bytes of a relation as pg_relation_size counts them, or pg_total_relation_size (whole), without waiting for a lock; NULL when it is gone';

CREATE FUNCTION dbopt._index_ddl(index_id oid) RETURNS text
LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'dbopt_index_ddl';
COMMENT ON FUNCTION dbopt._index_ddl(oid) IS
    'internal: CREATE INDEX as pg_get_indexdef gives it; NULL while the table is locked exclusively';
