-- A hostile owner: whatever of his runs while dbopt works on his tables, it runs with his rights.
-- Not in one transaction: the procedures commit.
\set VERBOSITY terse
\set ON_ERROR_STOP off
SET client_min_messages = error;
SET timezone = 'UTC';
SELECT plan(18);
CREATE ROLE part_mallory LOGIN;
CREATE SCHEMA mal AUTHORIZATION part_mallory;
SET SESSION AUTHORIZATION part_mallory;
CREATE TABLE mal.seen (who name, place text);
GRANT INSERT ON mal.seen TO PUBLIC;
CREATE FUNCTION mal.record(place text) RETURNS int LANGUAGE plpgsql VOLATILE AS
$$BEGIN INSERT INTO mal.seen VALUES (current_user, place); RETURN 1; END$$;
-- IMMUTABLE is a lie: constant folding calls these while a statement is planned
CREATE FUNCTION mal.trap(place text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN RETURN mal.record(place); END$$;
CREATE FUNCTION mal.trap_of(v int, place text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
$$BEGIN PERFORM mal.record(place); RETURN v; END$$;
CREATE DOMAIN mal.dom AS int DEFAULT mal.record('domain default') CHECK (mal.trap('domain check') = 1);
CREATE FUNCTION mal.fire() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN PERFORM mal.record('trigger'); RETURN coalesce(new, old); END$$;

CREATE TABLE mal.ev (id bigint, ts timestamptz NOT NULL, v int DEFAULT mal.record('default'), d mal.dom,
    g int GENERATED ALWAYS AS (mal.trap_of(v, 'generated')) STORED,
    CONSTRAINT folded CHECK (mal.trap('check') = 1), CONSTRAINT called CHECK (mal.trap_of(v, 'check of row') = v),
    PRIMARY KEY (id, ts)) PARTITION BY RANGE (ts);
CREATE INDEX ON mal.ev ((v + mal.trap('index'))) WHERE mal.trap('predicate') = 1;
CREATE TRIGGER fire BEFORE INSERT OR UPDATE OR DELETE ON mal.ev FOR EACH ROW EXECUTE FUNCTION mal.fire();
CREATE TABLE mal.expr (a int, t timestamp) PARTITION BY RANGE (date_trunc('day', t + mal.trap('key') * interval '0'));
CREATE TABLE mal.plain (id bigint PRIMARY KEY, ts timestamptz NOT NULL, v int DEFAULT mal.record('default'), d mal.dom,
    g int GENERATED ALWAYS AS (mal.trap_of(v, 'generated')) STORED,
    CHECK (mal.trap('check') = 1), CHECK (mal.trap_of(v, 'check of row') = v));
CREATE INDEX ON mal.plain ((v + mal.trap('index'))) WHERE mal.trap('predicate') = 1;
CREATE TRIGGER fire BEFORE INSERT OR UPDATE OR DELETE ON mal.plain FOR EACH ROW EXECUTE FUNCTION mal.fire();
CREATE TABLE mal.other (LIKE mal.plain INCLUDING ALL);
CREATE TRIGGER fire BEFORE INSERT OR UPDATE OR DELETE ON mal.other FOR EACH ROW EXECUTE FUNCTION mal.fire();
INSERT INTO mal.other (id, ts, v, d) SELECT i, now() - i * interval '1 day', i, i FROM generate_series(1, 100) i;
INSERT INTO mal.plain (id, ts, v, d) SELECT i, now() - i * interval '1 day', i, i FROM generate_series(1, 100) i;
-- reading the tables folds their index expressions, too
CREATE FUNCTION mal.rows_of(t regclass) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS
$$DECLARE n bigint; BEGIN EXECUTE format('SELECT count(*) FROM %s', t) INTO n; RETURN n; END$$;
RESET SESSION AUTHORIZATION;
CREATE FUNCTION pg_temp.strangers() RETURNS text LANGUAGE sql AS
$$SELECT coalesce(string_agg(DISTINCT who || ' in ' || place, ', '), 'none') FROM mal.seen WHERE who <> 'part_mallory'$$;

-- the superuser does everything that dbopt offers
SELECT ok(count(*) > 3 AND bool_and(status = 'done'), 'manage') FROM dbopt.partition_manage('mal.ev', '1 month', default_partition => true);
SELECT is(pg_temp.strangers(), 'none', 'no code ran as anybody else while partitions were made');
SELECT ok(bool_and(status = 'done'), 'an expression key') FROM dbopt.partition_manage('mal.expr', '1 day');
SELECT is(pg_temp.strangers(), 'none', 'nor for the expression key');
SET SESSION AUTHORIZATION part_mallory;
INSERT INTO mal.ev (id, ts, v, d) SELECT i, now() - i * interval '1 day', i, i FROM generate_series(1, 100) i;
RESET SESSION AUTHORIZATION;
CALL dbopt.partition_drain_default('mal.ev');
SELECT is(mal.rows_of('mal.ev_default'), 0::bigint, 'drained');
SELECT is(pg_temp.strangers(), 'none', 'and nothing ran as the superuser');
SELECT count(*) FROM dbopt.partition_check('mal.ev') \g /dev/null
SELECT count(*) FROM dbopt.partitions WHERE parent = 'mal.ev'::regclass \g /dev/null
SELECT count(*) FROM dbopt.partition_convert_plan('mal.plain', 'ts', '1 month') \g /dev/null
CALL dbopt.partition_convert('mal.plain', 'ts', '1 month', accept_lost_constraints => true);
SELECT is(relkind::text, 'p', 'converted') FROM pg_class WHERE oid = 'mal.plain'::regclass;
SELECT is(mal.rows_of('mal.plain'), 100::bigint, 'with every row');
SELECT is(pg_temp.strangers(), 'none', 'and nothing ran as the superuser');
CALL dbopt.partition_convert('mal.other', 'ts', '1 month', accept_lost_constraints => true, method => 'adopt');
CALL dbopt.partition_split('mal.other_adopted');
DO $$BEGIN FOR i IN 1..600 LOOP EXIT WHEN to_regclass('mal.other_adopted') IS NULL; COMMIT; PERFORM pg_sleep(0.1); END LOOP; END$$;
SELECT is(to_regclass('mal.other_adopted'), NULL, 'adopted and split');
SELECT is(mal.rows_of('mal.other'), 100::bigint, 'with every row');
SELECT is(pg_temp.strangers(), 'none', 'and nothing ran as the superuser');
SELECT dbopt.partition_manage('mal.ev', '1 month', retention => '2 months') \g /dev/null
SELECT ok(bool_and(status = 'done'), 'retired by hand') FROM dbopt.partition_maintain('mal.ev');
SELECT is(pg_temp.strangers(), 'none', 'with the owner''s rights');

-- the worker that detaches connects as the owner
SET SESSION AUTHORIZATION part_mallory;
CREATE TABLE mal.late (ts timestamptz, v int, CHECK (mal.trap('check of late') = 1)) PARTITION BY RANGE (ts);
CREATE TABLE mal.late_1 PARTITION OF mal.late FOR VALUES FROM ('2001-01-01') TO ('2001-02-01');
RESET SESSION AUTHORIZATION;
SELECT dbopt.partition_manage('mal.late', '1 month', retention => '2 months') \g /dev/null
SELECT dbopt.resume('partition') \g /dev/null
DO $$BEGIN
    FOR i IN 1..600 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = 'mal.late_1'::regclass);
        COMMIT;
        PERFORM pg_sleep(0.2);
    END LOOP;
END$$;
SELECT ok(NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = 'mal.late_1'::regclass), 'the worker detached');
SELECT is((SELECT string_agg(DISTINCT run_as::regrole::text, ', ') FROM dbopt.run WHERE area = 'partition'), 'part_mallory', 'as the owner');
SELECT is(pg_temp.strangers(), 'none', 'nothing ran as a superuser there');

-- an owner who sees only part of his rows cannot have them copied
CREATE TABLE mal.forced (id bigint PRIMARY KEY, ts timestamptz NOT NULL);
ALTER TABLE mal.forced OWNER TO part_mallory;
ALTER TABLE mal.forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT ok(EXISTS (SELECT FROM dbopt.partition_convert_plan('mal.forced', 'ts', '1 month') WHERE kind = 'obstacle' AND detail ~ 'row-level security'),
    'forced row-level security is an obstacle');
SELECT dbopt.partition_unmanage(parent) FROM dbopt.partition_sets WHERE parent::text LIKE 'mal.%' \g /dev/null
SELECT * FROM finish();
DROP SCHEMA mal CASCADE;
DROP ROLE part_mallory;
