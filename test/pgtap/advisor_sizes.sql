-- Sizes of indexes that are not there against the same ones really built, where values repeat in uneven ways.
SET client_min_messages = warning;
SELECT dbopt.pause('advisor') IS NULL AS paused \gset
CREATE SCHEMA sizes;
SET search_path = sizes, public;
CREATE TABLE item (part int NOT NULL, seller int NOT NULL, grp int, rare int, skew int NOT NULL, big bigint NOT NULL, line int NOT NULL, note text NOT NULL);
SELECT setseed(0.5);
-- Every part has four sellers; each seller equally many parts; four of ten have no group.
INSERT INTO item SELECT p, (p + k * 37) % 400, CASE WHEN random() > 0.4 THEN (random() * 5000)::int END,
    CASE WHEN random() < 0.02 THEN (random() * 1e9)::int END, (power(random(), 4) * 6000)::int, (p * 7919 % 9973), n / 5, repeat('x', 20)
FROM (SELECT 1 + (random() * 9999)::int AS p, floor(random() * 4)::int AS k, n FROM generate_series(1, 60000) n OFFSET 0) x;
VACUUM ANALYZE item;
SELECT plan(12);
CREATE FUNCTION off_by(columns text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE guess bigint := dbopt.index_size('CREATE INDEX ON sizes.item ' || columns); real bigint;
BEGIN
    EXECUTE 'CREATE INDEX probe ON sizes.item ' || columns;
    real := pg_relation_size('sizes.probe');
    DROP INDEX sizes.probe;
    RETURN round(100.0 * abs(guess - real) / real, 1);
END $$;
SELECT cmp_ok(off_by('(part)'), '<=', 4.0, 'chance references');
SELECT cmp_ok(off_by('(part, seller)'), '<=', 8.0, 'columns that depend on each other');
SELECT cmp_ok(off_by('(seller, part)'), '<=', 8.0, 'whatever their sequence');
SELECT cmp_ok(off_by('(part, big)'), '<=', 8.0, 'a column that follows from the other');
SELECT cmp_ok(off_by('(part, grp)'), '<=', 16.0, 'columns that do not');
SELECT cmp_ok(off_by('(grp)'), '<=', 8.0, 'many NULLs');
SELECT cmp_ok(off_by('(rare)'), '<=', 8.0, 'nearly only NULLs');
SELECT cmp_ok(off_by('(skew)'), '<=', 15.0, 'skewed references');
SELECT cmp_ok(off_by('(line)'), '<=', 4.0, 'values that lie together');
SELECT cmp_ok(off_by('(line, part)'), '<=', 8.0, 'and with another');
SELECT cmp_ok(off_by('((part % 100))'), '<=', 8.0, 'an expression of few values');
SELECT is(dbopt.index_size('CREATE INDEX ON sizes.item (part, seller)'), dbopt.index_size('CREATE INDEX ON sizes.item (part, seller)'),
    'the same answer every time');
SELECT * FROM finish();
DROP SCHEMA sizes CASCADE;
SELECT dbopt.resume('advisor') IS NULL AS resumed \gset
