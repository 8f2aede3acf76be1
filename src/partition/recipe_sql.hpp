// The one query behind create.cpp: what a new partition takes over from its parent ($1) and template
// ($2, or 0) beyond LIKE. Text with chr(1) where the new partition's name goes. A prepared statement
// of ours rather than a SQL function, because those are planned anew at every call.
#pragma once

namespace dbopt::partition {

// Columns: 0 unlogged, 1 PARTITION BY key, 2 access method, 3 storage options, 4 tablespace,
// 5 subcommands of ALTER TABLE, 6 commands, 7 replica identity index of the parent.
inline constexpr const char *recipe_sql = R"sql(
    WITH p AS (SELECT * FROM pg_class WHERE oid = $1),
         t AS (SELECT * FROM pg_class WHERE oid = $2),
    options AS (
        SELECT regexp_replace(o, '=(.*)$', '=''\1''') AS o FROM t, unnest(t.reloptions) o
        UNION ALL
        SELECT 'toast.' || regexp_replace(o, '=(.*)$', '=''\1''')
        FROM t JOIN pg_class toast ON toast.oid = t.reltoastrelid, unnest(toast.reloptions) o),
    -- columns: statistics target and n_distinct; the template's, where it has some, else the parent's
    columns AS (
        SELECT a.attnum, quote_ident(a.attname) AS col,
               coalesce(nullif(b.attstattarget, -1), a.attstattarget) AS target,
               -- pg_...: the server's own marks (a version stamp in recent minor releases)
               (SELECT string_agg(o, ', ') FROM unnest(coalesce(b.attoptions, a.attoptions)) o
                WHERE o NOT LIKE 'pg\_%') AS opts, b.attstorage AS storage,
               a.attstorage AS like_storage, a.attacl
        FROM pg_attribute a
        LEFT JOIN pg_attribute b ON b.attrelid = $2 AND b.attname = a.attname AND b.attnum > 0
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped),
    alters AS (
        SELECT 1 AS at, attnum AS n, format('ALTER COLUMN %s SET STATISTICS %s', col, target) AS part
        FROM columns WHERE target >= 0
        UNION ALL SELECT 2, attnum, format('ALTER COLUMN %s SET (%s)', col, opts)
            FROM columns WHERE opts IS NOT NULL
        UNION ALL SELECT 3, attnum, format('ALTER COLUMN %s SET STORAGE %s', col,
                   CASE storage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN'
                                ELSE 'EXTENDED' END)
            FROM columns WHERE storage <> like_storage
        UNION ALL SELECT 4, 0, 'ENABLE ROW LEVEL SECURITY' FROM p LEFT JOIN t ON true WHERE p.relrowsecurity OR t.relrowsecurity
        UNION ALL SELECT 5, 0, 'FORCE ROW LEVEL SECURITY' FROM p LEFT JOIN t ON true WHERE p.relforcerowsecurity OR t.relforcerowsecurity
        UNION ALL SELECT 6, 0, CASE coalesce(nullif(t.relreplident, 'd'), p.relreplident)
                                 WHEN 'f' THEN 'REPLICA IDENTITY FULL'
                                 WHEN 'n' THEN 'REPLICA IDENTITY NOTHING' END
            FROM p LEFT JOIN t ON true
            WHERE coalesce(nullif(t.relreplident, 'd'), p.relreplident) IN ('f', 'n')
        UNION ALL SELECT 7, c.oid::bigint, format('ADD CONSTRAINT %I %s', c.conname, pg_get_constraintdef(c.oid))
            FROM pg_constraint c WHERE c.conrelid = $2 AND $2 <> 0 AND c.conname <> '_dbopt_bound' AND c.contype = 'c'
              AND NOT EXISTS (SELECT FROM pg_constraint d
                              WHERE d.conrelid = $1 AND d.conname = c.conname)),
    -- indexes that only the template has; the text after "ON table" is compared and copied
    indexes AS (
        SELECT i.indexrelid, i.indrelid, i.indisunique,
               substr(pg_get_indexdef(i.indexrelid), length(format('CREATE %sINDEX %I ON %s%I.%I',
                      CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, x.relname,
                      CASE WHEN r.relkind = 'p' THEN 'ONLY ' ELSE '' END, n.nspname, r.relname)) + 1) AS rest
        FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class r ON r.oid = i.indrelid
             JOIN pg_namespace n ON n.oid = r.relnamespace
        WHERE i.indrelid IN ($1, $2)
          AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))),
    acl AS (
        SELECT 0::int2 AS attnum, NULL::text AS col, a.grantee, a.is_grantable, a.privilege_type
        FROM p, aclexplode(p.relacl) a
        UNION ALL
        SELECT c.attnum, c.col, a.grantee, a.is_grantable, a.privilege_type
        FROM columns c, aclexplode(c.attacl) a),
    grants AS (
        SELECT attnum, is_grantable, format('GRANT %s ON %s TO %s%s',
                   string_agg(privilege_type || coalesce(' (' || col || ')', ''), ', ' ORDER BY privilege_type),
                   chr(1), CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
                   CASE WHEN is_grantable AND grantee <> p.relowner THEN ' WITH GRANT OPTION' ELSE '' END) AS command
        FROM acl, p
        -- the owner's own full set needs no statement
        WHERE NOT (attnum = 0 AND grantee = p.relowner AND NOT EXISTS (
                SELECT privilege_type FROM aclexplode(acldefault('r', p.relowner))
                EXCEPT SELECT b.privilege_type FROM aclexplode(p.relacl) b WHERE b.grantee = p.relowner))
        GROUP BY attnum, grantee, is_grantable, p.relowner),
    revokes AS (
        SELECT format('REVOKE ALL ON %s FROM %s', chr(1), quote_ident(pg_get_userbyid(p.relowner))) AS command
        FROM p WHERE EXISTS (
                SELECT privilege_type FROM aclexplode(acldefault('r', p.relowner)) WHERE p.relacl IS NOT NULL
                EXCEPT SELECT b.privilege_type FROM aclexplode(p.relacl) b WHERE b.grantee = p.relowner)
        UNION ALL   -- rights that ALTER DEFAULT PRIVILEGES would add
        SELECT DISTINCT format('REVOKE ALL ON %s FROM %s', chr(1),
                   CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
        FROM p, pg_default_acl d, aclexplode(d.defaclacl) a
        WHERE d.defaclobjtype = 'r' AND d.defaclrole = p.relowner
          AND d.defaclnamespace IN (0, p.relnamespace) AND a.grantee <> p.relowner)
    SELECT coalesce((SELECT t.relpersistence = 'u' FROM t), false),
           (SELECT pg_get_partkeydef(t.oid) FROM t WHERE t.relkind = 'p'),
           (SELECT amname FROM pg_am
            WHERE pg_am.oid = coalesce(nullif((SELECT t.relam FROM t), 0), (SELECT nullif(p.relam, 0) FROM p))),
           (SELECT string_agg(o, ', ') FROM options),
           (SELECT spcname FROM pg_tablespace
            WHERE pg_tablespace.oid = coalesce(nullif((SELECT t.reltablespace FROM t), 0), (SELECT nullif(p.reltablespace, 0) FROM p))),
           (SELECT array_agg(part ORDER BY at, n) FROM alters),
           (SELECT array_agg(command ORDER BY at, command) FROM (
                SELECT 1 AS at, command FROM revokes
                UNION ALL SELECT 2, command FROM grants
                UNION ALL SELECT 3, format('CREATE %sINDEX ON %s%s',
                        CASE WHEN indisunique THEN 'UNIQUE ' ELSE '' END, chr(1), rest)
                    FROM indexes i WHERE indrelid = $2 AND NOT EXISTS (SELECT FROM indexes o
                        WHERE o.indrelid = $1 AND o.indisunique = i.indisunique AND o.rest = i.rest)
                -- without a name: the name of its index is the template's
                UNION ALL SELECT 3, format('ALTER TABLE %s ADD %s', chr(1), pg_get_constraintdef(c.oid))
                    FROM pg_constraint c WHERE c.conrelid = $2 AND $2 <> 0 AND c.contype IN ('p', 'u', 'x') AND NOT EXISTS (
                        SELECT FROM pg_constraint d WHERE d.conrelid = $1 AND d.contype = c.contype
                           AND pg_get_constraintdef(d.oid) = pg_get_constraintdef(c.oid))
                UNION ALL SELECT 4, format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', polname, chr(1),
                        CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                        CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                        (SELECT string_agg(CASE WHEN u = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u)) END, ', ') FROM unnest(polroles) u),
                        coalesce(' USING (' || pg_get_expr(polqual, polrelid) || ')', ''),
                        coalesce(' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')', ''))
                    FROM pg_policy WHERE polrelid = $2 AND $2 <> 0
                UNION ALL SELECT 5, format('COMMENT ON TABLE %s IS %L', chr(1), obj_description(p.oid, 'pg_class'))
                    FROM p WHERE obj_description(p.oid, 'pg_class') IS NOT NULL) c),
           (SELECT indexrelid FROM pg_index WHERE indrelid = $1 AND indisreplident)
)sql";

} // namespace dbopt::partition
