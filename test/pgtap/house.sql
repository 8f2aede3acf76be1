-- What the house promises about everything that the extension creates.
BEGIN;
SELECT plan(7);

CREATE TEMP VIEW members AS
SELECT d.classid, d.objid, pg_describe_object(d.classid, d.objid, 0) AS what
FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
  AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'dbopt');

SELECT is_empty($$
    SELECT what FROM members
    WHERE classid = 'pg_proc'::regclass AND obj_description(objid, 'pg_proc') IS NULL
$$, 'every function has a comment');

SELECT is_empty($$
    SELECT what FROM members JOIN pg_class c ON c.oid = objid
    WHERE classid = 'pg_class'::regclass AND relkind IN ('r', 'v', 'm', 'p')
      AND obj_description(objid, 'pg_class') IS NULL
$$, 'every table and view has a comment');

SELECT is_empty($$
    SELECT what FROM members LEFT JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
        LEFT JOIN pg_class c ON classid = 'pg_class'::regclass AND c.oid = objid
    WHERE coalesce(pronamespace, relnamespace) IS DISTINCT FROM 'dbopt'::regnamespace
      AND classid IN ('pg_proc'::regclass, 'pg_class'::regclass)
$$, 'everything lives in the schema dbopt');

SELECT is_empty($$
    SELECT what FROM members JOIN pg_proc p ON p.oid = objid JOIN pg_language l ON l.oid = prolang
    WHERE classid = 'pg_proc'::regclass AND prosecdef
      AND NOT coalesce(array_to_string(proconfig, ' '), '') ~ 'search_path'
$$, 'a SECURITY DEFINER function fixes its search_path');

SELECT is_empty($$
    SELECT what FROM members JOIN pg_proc p ON p.oid = objid JOIN pg_language l ON l.oid = prolang
    WHERE classid = 'pg_proc'::regclass AND lanname IN ('plpgsql', 'sql') AND prokind = 'f'
      AND prosqlbody IS NULL
      AND NOT coalesce(array_to_string(proconfig, ' '), '') ~ 'search_path'
$$, 'a function in SQL or PL/pgSQL fixes its search_path');

SELECT is_empty($$
    SELECT what FROM members JOIN pg_class c ON c.oid = objid,
        LATERAL aclexplode(coalesce(relacl, acldefault('r', relowner))) a
    WHERE classid = 'pg_class'::regclass AND relkind IN ('r', 'p', 'v', 'm') AND a.grantee = 0
      AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
$$, 'nobody may write into its tables by default');

SELECT ok(NOT has_schema_privilege('public', 'dbopt', 'CREATE'), 'nobody may create objects in its schema');

SELECT * FROM finish();
ROLLBACK;
