-- 10,000 moments in many time zones: the bounds around each, against PostgreSQL's own arithmetic.
BEGIN;
SELECT plan(4);
SELECT setseed(0.4711);
CREATE TEMP TABLE zones (n int, zone text);
INSERT INTO zones SELECT row_number() OVER () - 1, z FROM unnest(ARRAY['UTC', 'Europe/Madrid', 'America/New_York', 'America/Sao_Paulo', 'Asia/Kolkata',
    'Africa/Cairo', 'America/Havana', 'Pacific/Auckland', 'Asia/Tehran', 'America/St_Johns']) z;
CREATE TEMP TABLE steps (n int, step interval, unit text, months int);
INSERT INTO steps VALUES (0, '1 month', 'month', 1), (1, '3 months', 'quarter', 3), (2, '1 year', 'year', 12), (3, '1 week', 'week', 0), (4, '1 day', 'day', 0),
    (5, '1 hour', 'hour', 0), (6, '15 minutes', NULL, 0), (7, '30 minutes', NULL, 0), (8, '100 years', NULL, 1200), (9, '2 hours', NULL, 0);
CREATE TEMP TABLE cases AS
SELECT i, zone, step, unit, moment, moment AT TIME ZONE zone AS local
FROM (SELECT i, floor(random() * 10)::int AS zn, floor(random() * 10)::int AS sn,
             CASE WHEN i % 4 = 0 -- around the changes of daylight saving
                  THEN make_timestamptz(1990 + (random() * 60)::int, (ARRAY[3, 4, 10, 11])[1 + floor(random() * 4)::int], 1, 0, 0, 0, 'UTC') + random() * interval '31 days'
                  ELSE '1970-01-01'::timestamptz + random() * interval '100 years' END AS moment
      FROM generate_series(1, 10000) i) r JOIN zones z ON z.n = zn JOIN steps s ON s.n = sn;
-- the local bound before the moment, and its neighbours; what comes out is what lies closest around it
CREATE TEMP TABLE expected AS
SELECT i, max(bound) FILTER (WHERE bound <= moment) AS lower_bound, min(bound) FILTER (WHERE bound > moment) AS upper_bound
FROM (SELECT c.*, (at AT TIME ZONE zone) AS bound, at
      FROM cases c, LATERAL (SELECT CASE WHEN unit IS NOT NULL THEN date_trunc(unit, local)
               WHEN step = '100 years' THEN make_timestamp((extract(year FROM local)::int / 100) * 100, 1, 1, 0, 0, 0)
               ELSE date_bin(step, local, '2000-01-01') END AS base) b,
           LATERAL (SELECT base + k * step AS at FROM generate_series(-9, 9) k) x) y
-- a local time that the clock skips is no bound of its own, for steps within the day
WHERE step >= interval '1 day' OR (bound AT TIME ZONE zone) = at
GROUP BY i;
CREATE TEMP TABLE got AS SELECT i, l.lower_bound, l.upper_bound FROM cases c, LATERAL dbopt._partition_lattice(c.step::text, c.zone, c.moment) l;
SELECT is((SELECT count(*) FROM got), 10000::bigint, '10,000 cases');
SELECT is((SELECT count(*) FROM got JOIN cases USING (i) WHERE NOT (lower_bound <= moment AND moment < upper_bound)), 0::bigint, 'each moment lies within its bounds');
SELECT is((SELECT string_agg(format('%s %s %s: %s..%s instead of %s..%s', zone, step, moment, g.lower_bound, g.upper_bound, e.lower_bound, e.upper_bound), E'\n' ORDER BY i)
    FROM (SELECT * FROM got g JOIN expected e USING (i) JOIN cases c USING (i) WHERE (g.lower_bound, g.upper_bound) IS DISTINCT FROM (e.lower_bound, e.upper_bound) LIMIT 5) q
         (i, lower_bound, upper_bound, el, eu, zone, step, unit, moment, local), LATERAL (SELECT lower_bound, upper_bound) g, LATERAL (SELECT el AS lower_bound, eu AS upper_bound) e),
    NULL, 'the bounds are those that PostgreSQL would draw');
-- neither hole nor overlap: the bound after a partition's end begins there
SELECT is((SELECT count(*) FROM got JOIN cases USING (i), LATERAL dbopt._partition_lattice(step::text, zone, got.upper_bound) n WHERE n.lower_bound <> got.upper_bound), 0::bigint,
    'the next partition begins where this one ends');
SELECT * FROM finish();
ROLLBACK;
