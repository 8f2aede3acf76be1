-- What leaves the server: metrics, Prometheus text, the report; and settings advice.
BEGIN;
SELECT plan(24);
SELECT pg_advisory_xact_lock(1684434804, 2); -- the worker's round waits
DELETE FROM dbopt.history; -- so that sizes are measured
CREATE TABLE "report</script><b>""&" (id int);
INSERT INTO "report</script><b>""&" SELECT generate_series(1, 1000);
-- something to advise: a foreign key without an index, twice the same index, with a hostile name
CREATE TABLE report_parent (id int PRIMARY KEY);
CREATE TABLE "report'</td><i>" (id int PRIMARY KEY, parent int REFERENCES report_parent, x int);
CREATE INDEX report_x1 ON "report'</td><i>" (x);
CREATE INDEX report_x2 ON "report'</td><i>" (x);
CREATE TEMP TABLE page AS SELECT dbopt.report('1 day') AS html;

SELECT matches((SELECT html FROM page), '^<!DOCTYPE html>', 'the report is a page');
SELECT matches((SELECT html FROM page), '</html>\n$', 'a whole one');
SELECT doesnt_match((SELECT html FROM page), '<script|</script>|javascript:|<iframe|<img|https?://(?!www.w3.org)', 'without script or outside references, hostile names included');
SELECT matches((SELECT html FROM page), 'report&lt;/script&gt;&lt;b&gt;', 'hostile names are shown escaped');
SELECT cmp_ok((SELECT length(html) FROM page), '<', 300 * 1024, 'below 300 KB');
SELECT cmp_ok((SELECT max(length(l)) FROM page, regexp_split_to_table(html, E'\n') l), '<', 2000, 'lines are short');
SELECT is((SELECT count(*) FROM page, regexp_matches(html, '<t[hd][ >]', 'g')),
          (SELECT count(*) FROM page, regexp_matches(html, '</t[hd]>', 'g')), 'cells are closed');
SELECT is((SELECT count(*) FROM page, regexp_matches(html, '<(section|table|tr|figure|div)[ >]', 'g')),
          (SELECT count(*) FROM page, regexp_matches(html, '</(section|table|tr|figure|div)>', 'g')), 'and so are sections, tables and rows');
SELECT is((SELECT count(*) FROM page, regexp_matches(html, 'id="([a-z]+)"', 'g') m),
          (SELECT count(DISTINCT m) FROM page, regexp_matches(html, 'id="([a-z]+)"', 'g') m), 'ids are unique');
SELECT doesnt_match((SELECT html FROM page), 'Not available', 'no section failed');

-- advice: after what is wrong, before everything else, as commands that can be copied
SELECT is((SELECT (array_agg(m[1] ORDER BY n))[1:2] FROM page, regexp_matches(html, '<h2 id="([a-z]+)"', 'g') WITH ORDINALITY r(m, n)),
          '{wrong,advice}'::text[], 'what is wrong first, then what to do');
CREATE TEMP TABLE command AS SELECT replace(replace(replace(replace(m[1], '&#39;', ''''), '&lt;', '<'), '&gt;', '>'), '&quot;', '"') AS sql
    FROM page, regexp_matches(substring(html FROM '<h2 id="advice".*?</section>'), '<td class="c">([^<]*)</td>', 'g') m;
SELECT ok(EXISTS (SELECT FROM command WHERE sql = 'DROP INDEX CONCURRENTLY public.report_x2;'), 'a duplicate index, with the command');
SELECT ok(EXISTS (SELECT FROM command WHERE sql = 'SELECT dbopt.index_apply(''CREATE INDEX ON public."report''''</td><i>" (parent)'');'),
          'a foreign key, with a command that names the hostile table rightly');
SELECT is_empty($$SELECT sql FROM command WHERE sql !~ ';$' OR sql ~ ';;$'$$, 'each ends with one semicolon');
SELECT is((SELECT count(*) FROM command), (SELECT least(30, count(*)) FROM dbopt._advice(true) WHERE command IS NOT NULL), 'and is what optimize() would say');
SELECT is_empty($$SELECT reason FROM dbopt._advice(true) WHERE how = 'failed'$$, 'every room answers');

SELECT cmp_ok((SELECT count(DISTINCT metric) FROM dbopt.metrics()), '>=', 45::bigint, 'at least 45 metrics');
SELECT is_empty($$SELECT metric FROM dbopt.metrics() WHERE metric !~ '^dbopt_[a-z_]+$' OR (type = 'counter') <> (metric LIKE '%\_total')$$,
                'names are valid, counters end in _total');
SELECT is_empty($$SELECT metric, labels FROM dbopt.metrics() GROUP BY 1, 2 HAVING count(*) > 1$$, 'no series twice');
SELECT is_empty($$SELECT line FROM regexp_split_to_table(dbopt.prometheus(), E'\n') line
                  WHERE line !~ '^(# (HELP|TYPE) dbopt_[a-z_]+ .*|dbopt_[a-z_]+(\{([a-z_]+="([^"\\]|\\.)*",?)+\})? [-+0-9.eEInfNa]+|)$'$$,
                'every line of the exposition is well-formed');

-- bounded: 60 tables, their sum is kept
DO $$ BEGIN FOR i IN 1..60 LOOP EXECUTE format('CREATE TABLE report_t%s AS SELECT 1 AS x', i); END LOOP; END $$;
SELECT is((SELECT count(*) FROM dbopt.metrics() WHERE metric = 'dbopt_table_bytes'), 51::bigint, '50 tables and other');
SELECT is((SELECT sum(value) FROM dbopt.metrics() WHERE metric = 'dbopt_table_bytes'),
          (SELECT sum(b.bytes)::float8 FROM dbopt._relation_bytes() b JOIN pg_class c ON c.oid = b.owner_table
           WHERE c.oid >= 16384 AND c.relkind IN ('r', 'm')), 'their sum is right');

SELECT is_empty($$SELECT setting FROM dbopt.settings_advice WHERE reason IS NULL OR command NOT LIKE 'ALTER SYSTEM SET %' OR suggested_value = current_value$$,
                'settings advice has reasons and commands, and never what is there already');
SET LOCAL enable_partition_pruning = off;
SELECT is((SELECT suggested_value FROM dbopt.settings_advice WHERE setting = 'enable_partition_pruning'), 'on', 'it sees the present');
SELECT * FROM finish();
ROLLBACK;
