-- What every room stands on. The schema itself is created by dbopt.control.
-- Functions that change anything are revoked from PUBLIC by the room that creates them.
GRANT USAGE ON SCHEMA dbopt TO PUBLIC;

CREATE FUNCTION dbopt.version() RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'dbopt_version';
COMMENT ON FUNCTION dbopt.version() IS 'version of the dbopt library that is loaded';
