#!/bin/bash
# Health checks, snapshot, exposition and report on 10,000 tables, against what the peers do, in one run.
#   PGHOST=… PGPORT=… PGUSER=… test/bench/monitor.sh [tables]      (a server with dbopt; makes and drops a database)
set -eu
tables=${1:-10000}
db=dbopt_bench_monitor
dropdb --if-exists $db; createdb $db
sql() { psql -XAtq -d $db -v ON_ERROR_STOP=1 "$@"; }
sql -c 'CREATE EXTENSION dbopt'
sql >/dev/null <<SQL
DO \$\$ BEGIN
  FOR i IN 1..$tables LOOP
    EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, a int, b text%s)', i,
                   CASE WHEN i % 2 = 0 THEN format(', p int REFERENCES t%s', i - 1) ELSE '' END);
    IF i % 3 = 0 THEN EXECUTE format('CREATE INDEX ON t%s (a)', i); END IF;
    IF i % 50 = 0 THEN COMMIT; END IF;
  END LOOP;
END \$\$;
ANALYZE;
SQL
# Best of five in one session: the first call plans.
best() {
    { echo '\timing on'; for _ in 1 2 3 4 5; do echo "$1;"; done; } | sql | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | sort -n | head -1
}
row() { printf '%-58s %10s ms %s\n' "$1" "$2" "${3:-}"; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2fx of the peer way", a / b }'; }

peer_sizes=$(best "SELECT sum(pg_table_size(oid)) FROM pg_class WHERE relkind IN ('r', 'i', 'm', 't')")
ours_sizes=$(best "SELECT sum(bytes) FROM dbopt._relation_bytes()")
row "sizes of all relations, pg_table_size (opens each)" "$peer_sizes"
row "sizes of all relations, dbopt (no lock)" "$ours_sizes" "$(ratio "$ours_sizes" "$peer_sizes")"
row "health, fast tier" "$(best "SELECT * FROM dbopt.health_summary('fast')")"
row "health, normal tier" "$(best "SELECT * FROM dbopt.health_summary('normal')")"
all=$(best "SELECT * FROM dbopt.health_summary('deep')")
row "health, all checks" "$all"
peer_checks=$(best "SELECT count(*) FROM (SELECT i.indrelid, array_agg(pg_get_indexdef(i.indexrelid)) FROM pg_index i GROUP BY 1) x,
   (SELECT count(*) FROM pg_stat_user_indexes WHERE idx_scan = 0) y, (SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables) z,
   (SELECT count(*) FROM pg_statio_user_tables WHERE heap_blks_read > 0) w")
row "four peer checks alone (indexdefs, unused, sizes, io)" "$peer_checks" "all of ours: $(ratio "$all" "$peer_checks")"
snap=$(best "SELECT dbopt.snapshot()")
row "snapshot" "$snap" 
sql -c "INSERT INTO t1 SELECT g, g FROM generate_series(1, 1000) g"
sql -c "SELECT pg_sleep(1)" -c "SELECT dbopt.snapshot()" >/dev/null
row "bytes of a key frame, of an unchanged snapshot, of the last" "$(sql -c "SELECT string_agg(s::text, ' / ' ORDER BY taken_at) FROM (SELECT taken_at, pg_column_size(objects) + pg_column_size(values) + pg_column_size(statements) AS s,
    row_number() OVER (ORDER BY taken_at) AS n, count(*) OVER () AS all_ FROM dbopt.history h) x WHERE n IN (1, 2, all_)")" bytes
sql -c "CREATE TABLE peer_sample AS SELECT now() AS at, s.*, pg_relation_size(s.relid) AS size FROM pg_stat_user_tables s" -c "CREATE TABLE peer_sample_i AS SELECT now() AS at, s.*, pg_relation_size(s.indexrelid) AS size FROM pg_stat_user_indexes s"
row "bytes of one row per table and index, as samples are kept" "$(sql -c "SELECT pg_relation_size('peer_sample') + pg_relation_size('peer_sample_i')")" bytes
text=$(best "SELECT length(dbopt.prometheus())")
row "exposition" "$text"
row "report" "$(best "SELECT length(dbopt.report())")" "$(sql -c 'SELECT length(dbopt.report())') bytes"
# Processor time does not depend on what else the machine does: the median of five.
cpu() {
    { echo "SET client_min_messages = log; $1; SET log_statement_stats = on;"; for _ in 1 2 3 4 5; do echo "$1;"; done; } | sql 2>&1 |
        sed -n 's/.*\t\?\([0-9.]*\) s user, \([0-9.]*\) s system, [0-9.]* s elapsed.*/\1 \2/p' | awk '{ print 1000 * ($1 + $2) }' | sort -n | sed -n 3p
}
row "processor time of all checks" "$(cpu "SELECT * FROM dbopt.health_summary('deep')")"
row "processor time of a snapshot" "$(cpu "SELECT dbopt.snapshot()")"
row "processor time of a report" "$(cpu "SELECT length(dbopt.report())")"
row "processor time of an exposition" "$(cpu "SELECT length(dbopt.prometheus())")"
echo 'SELECT pg_sleep(3)' >/tmp/dbopt_bench_sleep.sql
pgbench -n -c 60 -T 6 -f /tmp/dbopt_bench_sleep.sql $db >/dev/null 2>&1 &
sleep 2
row "health, fast tier, beside 60 backends" "$(best "SELECT * FROM dbopt.health_summary('fast')")"
wait $!; rm -f /tmp/dbopt_bench_sleep.sql
# beside a locked table
sql -c 'BEGIN; LOCK TABLE t1 IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)' >/dev/null &
holder=$!
sleep 1
locked=$(best "SELECT * FROM dbopt.health_summary('deep')")
row "health, all checks, beside ACCESS EXCLUSIVE" "$locked" "$(ratio "$locked" "$all" | sed 's/of the peer way/of the unlocked time/')"
kill $holder 2>/dev/null || true
sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK TABLE t1%' AND pid <> pg_backend_pid()" >/dev/null
dropdb --force $db
