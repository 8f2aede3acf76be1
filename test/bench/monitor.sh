#!/bin/bash
# Health checks, snapshot, exposition and report on 10,000 tables, against what the peers do, in one run.
#   PGHOST=… PGPORT=… PGUSER=… test/bench/monitor.sh [--tables N] [--keep] [PART …]     (a server with dbopt)
# Parts: make health locked fast snapshot exposition history report; without any, all of them. The database is
# dropped at the end, unless --keep; a later run with --keep and without `make` uses it again.
set -eu
tables=10000; keep=; parts=
while [ $# -gt 0 ]; do
    case $1 in
        --tables) tables=$2; shift ;;
        --keep) keep=1 ;;
        *) parts="$parts $1" ;;
    esac
    shift
done
parts=${parts:-make health locked fast snapshot exposition history report}
db=dbopt_bench_monitor
sql() { psql -XAtq -d $db -v ON_ERROR_STOP=1 "$@"; }

# Best of five in one session: the first call plans.
best() {
    { echo '\timing on'; for _ in 1 2 3 4 5; do echo "$1;"; done; } | sql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | sort -n | head -1
}
# Processor time depends less on what else the machine does: the median of five.
cpu() {
    { echo "SET client_min_messages = log; $1; SET log_statement_stats = on;"; for _ in 1 2 3 4 5; do echo "$1;"; done; } | sql 2>&1 |
        sed -n 's/^!\t\([0-9.]*\) s user, \([0-9.]*\) s system, [0-9.]* s elapsed.*/\1 \2/p' | awk '{ print 1000 * ($1 + $2) }' | sort -n | sed -n 3p
}
row() { printf '%-62s %10s ms %s\n' "$1" "$2" "${3:-}"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2fx of the peer way", a / b }'; }

part_make() {
    dropdb --if-exists $db; createdb $db
    sql -c 'CREATE EXTENSION dbopt'
    sql >/dev/null <<SQL
SELECT setseed(0.4711);
DO \$\$ BEGIN
  FOR i IN 1..$tables LOOP
    EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, a int, b text%s)', i,
                   CASE WHEN i % 2 = 0 THEN format(', p int REFERENCES t%s', i - 1) ELSE '' END);
    IF i % 3 = 0 THEN EXECUTE format('CREATE INDEX ON t%s (a)', i); END IF;
    EXECUTE format('INSERT INTO t%s (id, a, b) SELECT g, g, g FROM generate_series(1, (60 * random())::int) g', i);
    IF i % 50 = 0 THEN COMMIT; END IF;
  END LOOP;
END \$\$;
ANALYZE;
SQL
    echo "$(sql -c "SELECT count(*) FILTER (WHERE relkind = 'r') || ' tables, ' || count(*) FILTER (WHERE relkind = 'i') || ' indexes' FROM pg_class WHERE oid >= 16384")"
}

part_health() {
    local peer ours
    peer=$(best "SELECT sum(pg_table_size(oid)) FROM pg_class WHERE relkind IN ('r', 'i', 'm', 't')")
    ours=$(best "SELECT sum(bytes) FROM dbopt._relation_bytes()")
    row "sizes of all relations, pg_table_size (opens each)" "$peer"
    row "sizes of all relations, dbopt (no lock)" "$ours" "$(ratio "$ours" "$peer")"
    row "health, normal tier" "$(best "SELECT * FROM dbopt.health_summary('normal')")"
    all=$(best "SELECT * FROM dbopt.health_summary('deep')")
    peer=$(best "SELECT count(*) FROM (SELECT i.indrelid, array_agg(pg_get_indexdef(i.indexrelid)) FROM pg_index i GROUP BY 1) x,
       (SELECT count(*) FROM pg_stat_user_indexes WHERE idx_scan = 0) y, (SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables) z,
       (SELECT count(*) FROM pg_statio_user_tables WHERE heap_blks_read > 0) w")
    row "four peer checks alone (indexdefs, unused, sizes, io)" "$peer"
    row "health, all checks" "$all" "$(ratio "$all" "$peer")"
    row "  its processor time" "$(cpu "SELECT * FROM dbopt.health_summary('deep')")"
}

# ACCESS EXCLUSIVE held; then held and waited for, by an ALTER TABLE and a SELECT behind it.
part_locked() {
    local free held queued pid
    free=$(best "SELECT * FROM dbopt.health_summary('deep')")
    sql -c "SET application_name = 'bench_holder'" -c 'BEGIN; LOCK TABLE t1 IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(120)' >/dev/null 2>&1 &
    sleep 1
    held=$(best "SELECT * FROM dbopt.health_summary('deep')")
    sql -c 'ALTER TABLE t1 ADD COLUMN later int' >/dev/null 2>&1 &
    sleep 0.3; sql -c 'SELECT count(*) FROM t1' >/dev/null 2>&1 &
    sleep 1
    queued=$(best "SELECT * FROM dbopt.health_summary('deep')")
    sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'bench_holder'" >/dev/null
    wait
    row "health, all checks, nothing locked" "$free"
    row "health, all checks, ACCESS EXCLUSIVE held" "$held" "$(ratio "$held" "$free" | sed 's/peer way/unlocked time/')"
    row "health, all checks, held and waited for" "$queued" "$(ratio "$queued" "$free" | sed 's/peer way/unlocked time/')"
}

part_fast() {
    echo 'SELECT pg_sleep(3)' >/tmp/dbopt_bench_sleep.sql
    pgbench -n -c 60 -T 9 -f /tmp/dbopt_bench_sleep.sql $db >/dev/null 2>&1 &
    sleep 4
    row "health, fast tier, beside $(sql -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND state = 'active'") active backends" \
        "$(best "SELECT * FROM dbopt.health_summary('fast')")"
    wait $!; rm -f /tmp/dbopt_bench_sleep.sql
}

# The peer keeps a row per table and per index in each sample, with all columns of the statistics views
# and the size; it is made here in the same way: pg_profile is not in Debian. Version 4.11 itself, on such a schema, took 3.6 to
# 6.1 s a sample and 105 MB for four (its last_stat_tables and last_stat_indexes; see doc/monitor.md).
part_snapshot() {
    local snap peer one frames
    sql -c 'DELETE FROM dbopt.history' -c 'SELECT dbopt.snapshot()' >/dev/null
    snap=$(best "SELECT dbopt.snapshot()")
    sql -c 'DROP TABLE IF EXISTS peer_t, peer_i' \
        -c 'CREATE TABLE peer_t AS SELECT 1 AS server, 1 AS sample, s.*, io.heap_blks_read, io.heap_blks_hit, io.idx_blks_read, io.idx_blks_hit, io.toast_blks_read, io.toast_blks_hit, io.tidx_blks_read, io.tidx_blks_hit, 0::bigint AS relsize, 0::bigint AS relsize_diff FROM pg_stat_user_tables s JOIN pg_statio_user_tables io USING (relid) WITH NO DATA' \
        -c 'CREATE TABLE peer_i AS SELECT 1 AS server, 1 AS sample, s.*, io.idx_blks_read, io.idx_blks_hit, 0::bigint AS relsize, 0::bigint AS relsize_diff, false AS indisunique FROM pg_stat_user_indexes s JOIN pg_statio_user_indexes io USING (indexrelid) WITH NO DATA' \
        -c 'CREATE INDEX ON peer_t (server, sample, relid)' -c 'CREATE INDEX ON peer_i (server, sample, indexrelid)'
    peer=$(best "WITH a AS (INSERT INTO peer_t SELECT 1, 1, s.*, io.heap_blks_read, io.heap_blks_hit, io.idx_blks_read, io.idx_blks_hit, io.toast_blks_read, io.toast_blks_hit, io.tidx_blks_read, io.tidx_blks_hit, pg_relation_size(relid), 0 FROM pg_stat_user_tables s JOIN pg_statio_user_tables io USING (relid)) INSERT INTO peer_i SELECT 1, 1, s.*, io.idx_blks_read, io.idx_blks_hit, pg_relation_size(indexrelid), 0, false FROM pg_stat_user_indexes s JOIN pg_statio_user_indexes io USING (indexrelid)")
    row "snapshot" "$snap" "$(ratio "$snap" "$peer")"
    row "  its processor time" "$(cpu "SELECT dbopt.snapshot()")"
    row "a row per table and index, as samples are kept" "$peer"
    one=$(sql -c "SELECT (pg_total_relation_size('peer_t') + pg_total_relation_size('peer_i')) / 5")
    # A day of them: 288 snapshots, of which 6 are key frames; here with a changed tenth of the tables each.
    sql -c 'DELETE FROM dbopt.history' >/dev/null
    for i in 1 2 3 4; do
        sql -c "DO \$\$ BEGIN FOR i IN 1..$((tables / 10)) LOOP EXECUTE format('UPDATE t%s SET a = a + 1 WHERE id <= %s', i * 10 - $i, (40 * random())::int); END LOOP; END \$\$" \
            -c 'SELECT pg_stat_force_next_flush()' -c 'SELECT dbopt.snapshot()' >/dev/null
    done
    frames=$(sql -c "SELECT max(s) || ' ' || round(avg(s) FILTER (WHERE NOT key_frame)) || ' ' || round((max(s) + 47 * avg(s) FILTER (WHERE NOT key_frame)) / 48)
        FROM (SELECT key_frame, pg_column_size(objects) + pg_column_size(values) + pg_column_size(statements) + pg_column_size(latencies) AS s FROM dbopt.history) x")
    set -- $frames
    echo "bytes: key frame $1, one with a tenth of the tables changed $2, mean $3; a peer's sample $one: $(awk -v a="$3" -v b="$one" 'BEGIN { printf "1/%.0f", b / a }') ($(awk -v a="$1" -v b="$one" 'BEGIN { printf "1/%.0f", b / a }') for a key frame)"
}

# The same text in SQL: sizes, rows, scans of the 50 largest tables and of all others, and the counters
# of the database. It is less than ours, which has all checks as well.
exposition_sql() {
    cat <<'SQL'
WITH t AS MATERIALIZED (SELECT schemaname, relname, pg_total_relation_size(relid)::float8 AS bytes, n_live_tup::float8 AS live, n_dead_tup::float8 AS dead,
    seq_scan::float8 AS scans, (n_tup_ins + n_tup_upd + n_tup_del)::float8 AS written FROM pg_stat_user_tables),
v AS (SELECT m.metric, t.schemaname, t.relname, m.value, row_number() OVER (PARTITION BY m.metric ORDER BY m.value DESC) AS n
    FROM t, LATERAL (VALUES ('dbopt_table_bytes', bytes), ('dbopt_table_live_rows', live), ('dbopt_table_dead_rows', dead),
    ('dbopt_table_seq_scans_total', scans), ('dbopt_table_written_rows_total', written)) m(metric, value)),
b AS (SELECT metric, CASE WHEN n <= 50 THEN schemaname ELSE 'other' END AS s, CASE WHEN n <= 50 THEN relname ELSE 'other' END AS r, sum(value) AS value FROM v GROUP BY 1, 2, 3),
d AS (SELECT key AS metric, value FROM pg_stat_database d, jsonb_each_text(to_jsonb(d)) WHERE datname = current_database() AND jsonb_typeof(to_jsonb(d) -> key) = 'number')
SELECT length((SELECT string_agg(format('%s{schema="%s",relation="%s"} %s', metric, replace(s, '"', '\"'), replace(r, '"', '\"'), value), E'\n') FROM b)
    || (SELECT string_agg(format('dbopt_%s{database="%s"} %s', metric, current_database(), value), E'\n') FROM d))
SQL
}
part_exposition() {
    local ours peer
    ours=$(best "SELECT length(dbopt.prometheus())")
    peer=$(best "$(exposition_sql)")
    row "exposition" "$ours" "$(ratio "$ours" "$peer")"
    row "  its processor time" "$(cpu "SELECT length(dbopt.prometheus())")"
    row "the same families in SQL, without the checks" "$peer"
}

# A day of snapshots, every 15 minutes, and some statements: what a report usually reads.
part_history() {
    for i in $(seq 1 60); do echo "SELECT count(*) AS c$i FROM t$i WHERE a > 3;"; done | sql >/dev/null
    sql -c 'DELETE FROM dbopt.history' -c "SELECT dbopt._history_partition(now() - d * interval '1 day') FROM generate_series(0, 1) d" >/dev/null
    sql >/dev/null <<'SQL'
DO $$ BEGIN
  FOR i IN REVERSE 95..0 LOOP
    EXECUTE format('UPDATE t%s SET a = a + 1', i + 1);
    PERFORM dbopt.snapshot();
    UPDATE dbopt.history SET taken_at = now() - i * interval '15 minutes' WHERE taken_at = (SELECT max(taken_at) FROM dbopt.history);
    COMMIT;
  END LOOP;
END $$;
SQL
    echo "history: $(sql -c "SELECT count(*) || ' snapshots, ' || pg_size_pretty(sum(pg_column_size(objects) + pg_column_size(values) + pg_column_size(statements) + pg_column_size(latencies))) FROM dbopt.history")"
}

part_report() {
    row "report" "$(best "SELECT length(dbopt.report())")" "$(sql -c 'SELECT octet_length(dbopt.report())') bytes"
    row "  its processor time" "$(cpu "SELECT length(dbopt.report())")"
}

for p in $parts; do "part_$p"; done
[ -n "$keep" ] || dropdb --force $db
