-- What is bound to a table by OID goes along with a conversion, there and back, or is named beforehand.
\set VERBOSITY terse
\set ON_ERROR_STOP off
SET client_min_messages = error;
SET timezone = 'UTC';
SELECT plan(57);
CREATE SCHEMA bound;
CREATE ROLE bound_reader;
GRANT USAGE ON SCHEMA bound TO bound_reader;
CREATE TABLE bound.big (id bigint PRIMARY KEY, v text, b int, c int,
    CONSTRAINT uq UNIQUE (id, v), CONSTRAINT short UNIQUE (v)) WITH (fillfactor = 80, toast.autovacuum_enabled = off);
INSERT INTO bound.big SELECT g, 'v' || g, g % 10, g % 20 FROM generate_series(1, 300) g;
CREATE TABLE bound.inbox (id bigint, v text);
CREATE TABLE bound.audit (id bigint);
CREATE VIEW bound.names AS SELECT id, upper(v) AS v FROM bound.big;

-- rules: of another table, of views, of the table itself
CREATE RULE forward AS ON INSERT TO bound.inbox DO ALSO INSERT INTO bound.big VALUES (new.id, new.v);
CREATE RULE "Ins ert" AS ON INSERT TO bound.names DO INSTEAD INSERT INTO bound.big VALUES (new.id, new.v);
CREATE RULE del AS ON DELETE TO bound.names DO INSTEAD (INSERT INTO bound.audit VALUES (old.id); DELETE FROM bound.big WHERE id = old.id);
CREATE RULE off AS ON UPDATE TO bound.inbox DO ALSO DELETE FROM bound.big;
ALTER TABLE bound.inbox DISABLE RULE off;
CREATE RULE own AS ON UPDATE TO bound.big WHERE new.v = 'audited' DO ALSO INSERT INTO bound.audit VALUES (old.id);
CREATE RULE own_off AS ON DELETE TO bound.big DO INSTEAD NOTHING;
ALTER TABLE bound.big DISABLE RULE own_off;
CREATE MATERIALIZED VIEW bound.sums AS SELECT b, count(*) AS n FROM bound.big GROUP BY b;
CREATE UNIQUE INDEX sums_b ON bound.sums (b);
GRANT SELECT ON bound.sums TO bound_reader;
CREATE POLICY other ON bound.inbox USING (EXISTS (SELECT FROM bound.big WHERE big.id = inbox.id));
CREATE POLICY mine ON bound.big USING (true);
CREATE FUNCTION bound.fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER fire BEFORE INSERT ON bound.big FOR EACH ROW EXECUTE FUNCTION bound.fire();
CREATE FUNCTION bound.total() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM bound.big; END;
-- the row type
CREATE FUNCTION bound.f(x bound.big) RETURNS text LANGUAGE sql AS 'SELECT x.v';
REVOKE EXECUTE ON FUNCTION bound.f FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bound.f TO bound_reader;
CREATE FUNCTION bound.several(bound.big[]) RETURNS int LANGUAGE sql AS 'SELECT cardinality($1)';
CREATE FUNCTION bound.all_rows() RETURNS SETOF bound.big LANGUAGE sql AS 'SELECT * FROM bound.big';
CREATE FUNCTION bound.out_row(OUT r bound.big) LANGUAGE plpgsql AS 'BEGIN END';
CREATE TABLE bound.uses (x bound.big);
CREATE DOMAIN bound.dom AS bound.big;
-- comments, statistics objects, marks
COMMENT ON RULE forward ON bound.inbox IS 'c rule';
COMMENT ON RULE own ON bound.big IS 'c own rule';
COMMENT ON MATERIALIZED VIEW bound.sums IS 'c matview';
COMMENT ON FUNCTION bound.f IS 'c function';
COMMENT ON POLICY other ON bound.inbox IS 'c other policy';
COMMENT ON POLICY mine ON bound.big IS 'c policy';
COMMENT ON TRIGGER fire ON bound.big IS 'c trigger';
COMMENT ON CONSTRAINT uq ON bound.big IS 'c unique';
COMMENT ON CONSTRAINT short ON bound.big IS 'c short';
COMMENT ON COLUMN bound.big.v IS 'c column';
CREATE STATISTICS bound.pair ON b, c FROM bound.big;
ALTER STATISTICS bound.pair SET STATISTICS 55;
COMMENT ON STATISTICS bound.pair IS 'c statistics';
CREATE STATISTICS public.bound_sum (mcv) ON (b + c), v FROM bound.big;
ALTER TABLE bound.big CLUSTER ON uq;

CREATE VIEW bound.plan AS SELECT * FROM dbopt.partition_convert_plan('bound.big', 'id', '100');
SELECT set_eq($$SELECT item FROM bound.plan WHERE kind = 'obstacle'$$,
    '{bound.sums,bound.f(bound.big),bound.several(bound.big[]),bound.all_rows(),bound.out_row(),bound.uses.x,type bound.dom}'::text[],
    'materialized views and all uses of the row type are obstacles');
SELECT set_eq($$SELECT item FROM dbopt.partition_convert_plan('bound.big', 'id', '100', accept_lost_constraints => true) WHERE kind = 'loss'$$,
    '{short,bound.sums,bound.f(bound.big),bound.several(bound.big[]),bound.all_rows(),bound.out_row(),bound.uses.x,type bound.dom}'::text[],
    'unless they are accepted');
SELECT is((SELECT count(*) FROM bound.plan WHERE item = 'bind'), 9::bigint, 'what is made anew is a step each');
CALL dbopt.partition_convert('bound.big', 'id', '100');
SELECT is(relkind::text, 'r', 'without acceptance nothing happens') FROM pg_class WHERE oid = 'bound.big'::regclass;

-- what no swap can carry is named, accepted or not
CREATE VIEW bound.whole AS SELECT x FROM bound.big x;
CREATE FUNCTION bound.reads() RETURNS SETOF bound.big LANGUAGE sql BEGIN ATOMIC SELECT * FROM bound.big; END;
CREATE TABLE bound.names_it (t text DEFAULT 'bound.big'::regclass::text);
SELECT set_eq($$SELECT item FROM dbopt.partition_convert_plan('bound.big', 'id', '100', accept_lost_constraints => true) WHERE kind = 'obstacle'$$,
    '{bound.whole.x,bound.reads(),default value for column t of table bound.names_it}'::text[], 'a view of whole rows, a bound body that returns them, a constant');
CALL dbopt.partition_convert('bound.big', 'id', '100', max_lock => '10 s', accept_lost_constraints => true);
SELECT is(relkind::text, 'r', 'these are not to be accepted') FROM pg_class WHERE oid = 'bound.big'::regclass;
SELECT is(count(*), 0::bigint, 'and nothing was begun') FROM dbopt.partition_work;
DROP VIEW bound.whole;
DROP FUNCTION bound.reads;
DROP TABLE bound.names_it;

CREATE FUNCTION bound.comments() RETURNS TABLE (what text) LANGUAGE sql AS $$
    SELECT d.classoid::regclass || ' ' || d.description FROM pg_description d
    WHERE (classoid = 'pg_rewrite'::regclass AND objoid IN (SELECT oid FROM pg_rewrite WHERE ev_class IN ('bound.big'::regclass, 'bound.inbox'::regclass)))
       OR (classoid = 'pg_class'::regclass AND objoid IN ('bound.big'::regclass, 'bound.sums'::regclass))
       OR (classoid = 'pg_proc'::regclass AND objoid = 'bound.f(bound.big)'::regprocedure)
       OR (classoid = 'pg_policy'::regclass AND objoid IN (SELECT oid FROM pg_policy WHERE polrelid IN ('bound.big'::regclass, 'bound.inbox'::regclass)))
       OR (classoid = 'pg_trigger'::regclass AND objoid IN (SELECT oid FROM pg_trigger WHERE tgrelid = 'bound.big'::regclass))
       OR (classoid = 'pg_constraint'::regclass AND objoid IN (SELECT oid FROM pg_constraint WHERE conrelid = 'bound.big'::regclass))
       OR (classoid = 'pg_statistic_ext'::regclass AND objoid IN (SELECT oid FROM pg_statistic_ext WHERE stxrelid = 'bound.big'::regclass)) $$;
CREATE TABLE bound.comments_before AS SELECT * FROM bound.comments();
CREATE FUNCTION bound.statistics() RETURNS TABLE (what text) LANGUAGE sql AS $$
    SELECT pg_get_statisticsobjdef(oid) || coalesce(stxstattarget, -1) FROM pg_statistic_ext WHERE stxrelid = 'bound.big'::regclass $$;
CREATE TABLE bound.statistics_before AS SELECT * FROM bound.statistics();
CREATE FUNCTION bound.rules() RETURNS TABLE (what text) LANGUAGE sql AS $$
    SELECT pg_get_ruledef(oid) || ev_enabled::text FROM pg_rewrite WHERE rulename <> '_RETURN' AND ev_class::regclass::text LIKE 'bound.%' AND ev_class::regclass::text !~ '_old|_partitioned' $$;
CREATE TABLE bound.rules_before AS SELECT * FROM bound.rules();
SELECT is((SELECT count(*) FROM bound.comments_before), 11::bigint, 'eleven comments');

CALL dbopt.partition_convert('bound.big', 'id', '100', max_lock => '10 s', accept_lost_constraints => true);
SELECT is(relkind::text, 'p', 'converted') FROM pg_class WHERE oid = 'bound.big'::regclass;
INSERT INTO bound.names VALUES (2000, 'by view');
INSERT INTO bound.inbox VALUES (2001, 'by rule');
SELECT results_eq('SELECT id FROM bound.big WHERE id >= 2000 ORDER BY 1', 'VALUES (2000::bigint), (2001)', 'rules write to the new table');
SELECT is(count(*), 0::bigint, 'and not to the old one') FROM bound.big_old WHERE id >= 2000;
DELETE FROM bound.names WHERE id = 7;
SELECT is(count(*), 0::bigint, 'a rule of two commands does') FROM bound.big WHERE id = 7;
SELECT is(count(*), 1::bigint, 'both') FROM bound.audit WHERE id = 7;
UPDATE bound.inbox SET v = v;
SELECT cmp_ok(count(*), '>', 0::bigint, 'a disabled rule stays disabled') FROM bound.big;
UPDATE bound.big SET v = 'audited' WHERE id = 5;
SELECT is(count(*), 1::bigint, 'the rule of the table itself works') FROM bound.audit WHERE id = 5;
DELETE FROM bound.big WHERE id = 8;
SELECT is(count(*), 0::bigint, 'and its disabled one does not') FROM bound.big WHERE id = 8;
SELECT set_eq('SELECT * FROM bound.rules()', 'SELECT * FROM bound.rules_before', 'all rules read as before');
SELECT is((SELECT sum(n) FROM bound.sums), 300::numeric, 'the materialized view has kept its rows');
SELECT ok(has_table_privilege('bound_reader', 'bound.sums', 'SELECT') AND relispopulated, 'and its grants') FROM pg_class WHERE oid = 'bound.sums'::regclass;
SELECT lives_ok('REFRESH MATERIALIZED VIEW CONCURRENTLY bound.sums', 'it is refreshed');
SELECT is((SELECT sum(n) FROM bound.sums), (SELECT count(*) FROM bound.big)::numeric, 'from the new table');
SELECT is(bound.total(), (SELECT count(*) FROM bound.big), 'a bound body counts it');
SELECT matches(pg_get_expr(polqual, polrelid), 'FROM bound.big\s+WHERE', 'a policy of another table reads it') FROM pg_policy WHERE polname = 'other';
SELECT is(bound.f(t), 'audited', 'functions take its rows') FROM bound.big t WHERE id = 5;
SELECT is(bound.f(t), 'v5', 'and those of the old table') FROM bound.big_old t WHERE id = 5;
SELECT is(bound.several(array_agg(t)), 2, 'arrays of them') FROM bound.big t WHERE id IN (5, 6);
SELECT ok(has_function_privilege('bound_reader', 'bound.f(bound.big)', 'EXECUTE') AND proacl::text !~ '[{,]=X', 'with the same grants') FROM pg_proc WHERE oid = 'bound.f(bound.big)'::regprocedure;
SELECT is((SELECT count(*) FROM bound.all_rows()), (SELECT count(*) FROM bound.big), 'a result of the row type reads it');
SELECT set_eq('SELECT * FROM bound.comments() WHERE what NOT LIKE ''%c short''', 'SELECT * FROM bound.comments_before WHERE what NOT LIKE ''%c short''', 'comments are kept');
SELECT is(obj_description('bound.short'::regclass, 'pg_class'), 'c short', 'that of a lost constraint on its index');
SELECT set_eq('SELECT * FROM bound.statistics()', 'SELECT * FROM bound.statistics_before', 'statistics objects have name, schema and target');
SELECT ok(bool_and(EXISTS (SELECT FROM pg_statistic_ext_data WHERE stxoid = s.oid)), 'and are filled') FROM pg_statistic_ext s WHERE stxrelid = 'bound.big'::regclass;
SELECT is((SELECT coalesce(stxstattarget, -1)::int FROM pg_statistic_ext WHERE stxrelid = 'bound.big_100'::regclass AND stxkeys::text = (SELECT stxkeys::text FROM pg_statistic_ext WHERE stxname = 'pair')), 55, 'partitions have the target');
SELECT is(t.reloptions, '{autovacuum_enabled=off}', 'partitions have the toast options') FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.oid = 'bound.big_100'::regclass;
SELECT is(c.reloptions, '{fillfactor=80}', 'and the others') FROM pg_class c WHERE c.oid = 'bound.big_100'::regclass;
SELECT is(count(*), (SELECT count(*) FROM pg_inherits WHERE inhparent = 'bound.big'::regclass), 'and the index to cluster by') FROM pg_index WHERE indisclustered AND indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'bound.big'::regclass);
SELECT is(count(*), 0::bigint, 'nothing of ours is left over') FROM pg_statistic_ext WHERE stxname LIKE '\_dbopt\_%';

-- life goes on; something new is bound
CREATE RULE later AS ON DELETE TO bound.inbox DO ALSO DELETE FROM bound.big WHERE big.id = old.id;
CREATE MATERIALIZED VIEW bound.newer AS SELECT max(id) FROM bound.big;
COMMENT ON TRIGGER fire ON bound.big IS 'c trigger, changed';
COMMENT ON COLUMN bound.big.v IS NULL;
UPDATE bound.comments_before SET what = 'pg_trigger c trigger, changed' WHERE what LIKE '%c trigger';
DELETE FROM bound.comments_before WHERE what LIKE '%c column';
CREATE STATISTICS bound.third (ndistinct) ON v, c FROM bound.big;
INSERT INTO bound.statistics_before SELECT * FROM bound.statistics() WHERE what LIKE '%third%';
INSERT INTO bound.rules_before SELECT * FROM bound.rules() WHERE what LIKE '%later%';
ALTER TABLE bound.big ENABLE RULE own_off; -- while it is on, a DELETE that is applied to the old table must not meet it
UPDATE bound.rules_before SET what = regexp_replace(what, 'D$', 'O') WHERE what LIKE '%own_off%';
CREATE TABLE bound.truth AS TABLE bound.big;
CREATE TABLE bound.audited AS TABLE bound.audit;
CALL dbopt.partition_convert_abort('bound.big');
SELECT is(relkind::text, 'r', 'and back') FROM pg_class WHERE oid = 'bound.big'::regclass;
SELECT set_eq('TABLE bound.big', 'TABLE bound.truth', 'with every row');
SELECT set_eq('TABLE bound.audit', 'TABLE bound.audited', 'no rule ran for it');
SELECT set_eq('SELECT * FROM bound.rules()', 'SELECT * FROM bound.rules_before', 'rules are back, the new one, too');
INSERT INTO bound.names VALUES (3000, 'by view again');
INSERT INTO bound.inbox VALUES (3001, 'by rule again');
SELECT results_eq('SELECT id FROM bound.big WHERE id >= 3000 ORDER BY 1', 'VALUES (3000::bigint), (3001)', 'and write to the plain table');
DELETE FROM bound.inbox WHERE id = 3001;
SELECT is(count(*), 1::bigint, 'its own rule is on') FROM bound.big WHERE id = 3001;
SELECT lives_ok('REFRESH MATERIALIZED VIEW bound.sums', 'materialized views are refreshed');
SELECT is((SELECT sum(n) FROM bound.sums), (SELECT count(*) FROM bound.big)::numeric, 'from it');
REFRESH MATERIALIZED VIEW bound.newer;
SELECT is((SELECT max FROM bound.newer), 3001::bigint, 'those made since, too');
SELECT is(bound.f(t), 'audited', 'functions take its rows') FROM bound.big t WHERE id = 5;
SELECT is(count(*), 2::bigint, 'none was made twice') FROM pg_proc WHERE proname = 'f' AND pronamespace = 'bound'::regnamespace;
SELECT set_eq('SELECT * FROM bound.comments()', 'SELECT * FROM bound.comments_before', 'comments are as they are by now');
SELECT set_eq('SELECT * FROM bound.statistics()', 'SELECT * FROM bound.statistics_before', 'statistics objects, too');
SELECT is(count(*), 1::bigint, 'and the mark to cluster by') FROM pg_index WHERE indisclustered AND indrelid = 'bound.big'::regclass;

-- adopted in place
DROP FUNCTION bound.f(bound.big_partitioned), bound.several(bound.big_partitioned[]);
DROP TABLE bound.big_partitioned;
DROP RULE own_off ON bound.big;
ALTER TABLE bound.big DROP CONSTRAINT short;
SELECT dbopt.pause('partition') \g /dev/null
CALL dbopt.partition_convert('bound.big', 'id', '1000', max_lock => '10 s', accept_lost_constraints => true, method => 'adopt');
SELECT is(relkind::text, 'p', 'adopted') FROM pg_class WHERE oid = 'bound.big'::regclass;
INSERT INTO bound.names VALUES (1500, 'by view');
SELECT is(count(*), 1::bigint, 'rules write to the new table') FROM bound.big WHERE id = 1500;
UPDATE bound.big SET v = 'audited' WHERE id = 6;
SELECT is(count(*), 1::bigint, 'its own rule works once') FROM bound.audit WHERE id = 6;
REFRESH MATERIALIZED VIEW bound.sums;
SELECT is((SELECT sum(n) FROM bound.sums), (SELECT count(*) FROM bound.big)::numeric, 'materialized views read it');
SELECT set_eq('SELECT * FROM bound.statistics()', 'SELECT * FROM bound.statistics_before', 'statistics objects are the parent''s');
SELECT is(count(*), 0::bigint, 'the partition has no rule of its own') FROM pg_rewrite WHERE ev_class = 'bound.big_adopted'::regclass;
SELECT dbopt.partition_unmanage(parent) FROM dbopt.partition_sets \g /dev/null
SELECT * FROM finish();
UPDATE dbopt.run SET status = 'cancelled' WHERE area = 'partition' AND status = 'queued';
SELECT dbopt.resume('partition') \g /dev/null
DROP SCHEMA bound CASCADE;
DROP STATISTICS IF EXISTS public.bound_sum;
DROP ROLE bound_reader;
