-- A database whose every name and text tries to break out of the page, with something for each section.
CREATE EXTENSION dbopt;
CREATE SCHEMA "</style><script>alert(1)</script>";
CREATE TABLE "</style><script>alert(1)</script>"."<img src=x onerror=alert(2)>" (id int PRIMARY KEY, "таблица ""&quot;" text);
INSERT INTO "</style><script>alert(1)</script>"."<img src=x onerror=alert(2)>" SELECT g, repeat('ж', 50) FROM generate_series(1, 20000) g;
CREATE INDEX "'><svg onload=alert(3)>" ON "</style><script>alert(1)</script>"."<img src=x onerror=alert(2)>" ("таблица ""&quot;");
CREATE TABLE ev (id bigint, at timestamptz NOT NULL) PARTITION BY RANGE (at);
SELECT count(*) FROM dbopt.partition_manage('ev', '1 month', retention => '24 months');
CREATE MATERIALIZED VIEW mv AS SELECT id % 10 AS k, count(*) FROM "</style><script>alert(1)</script>"."<img src=x onerror=alert(2)>" GROUP BY 1;
SELECT count(*) FROM dbopt.matview_manage('mv');
SELECT dbopt.job_add('<b>job</b>', '@hourly', 'SELECT 1');
SELECT count(*) FROM dbopt.pool_add('<i>pool</i>', application_name => '<script>alert(4)</script>', max_size => 5);
SELECT 1 AS "</script><script>alert(5)</script>", '--><script>alert(6)</script>' /* ]]> */, pg_sleep(0.01);
SELECT repeat('x', 10) AS "a very long name that has no end of it in sight at all, really", 'мир' AS "日本語";
SELECT dbopt.alert_set('xid_age_pct', warn => -2, critical => -1, for_time => '0');
SELECT count(*) FROM dbopt.alert_check('fast');
SELECT pg_advisory_lock(1684434804, 2); -- the worker takes no snapshot meanwhile
SELECT dbopt._history_partition(now() - make_interval(weeks => w)) FROM generate_series(0, 1) w;
DO $$
BEGIN
    FOR h IN REVERSE 47 .. 1 LOOP
        INSERT INTO "</style><script>alert(1)</script>"."<img src=x onerror=alert(2)>" SELECT 1000000 + 1000 * h + g, 'x' FROM generate_series(1, 200) g;
        PERFORM dbopt.snapshot();
        UPDATE dbopt.history SET taken_at = now() - make_interval(mins => 30 * h) WHERE taken_at = (SELECT max(taken_at) FROM dbopt.history);
    END LOOP;
END $$;
SELECT pg_advisory_unlock(1684434804, 2);
