#!/bin/bash
# What capture costs writers, what readers feel, how much a matview grows; ratios of one run.
#   matview_writers.sh [SECONDS]     default 5 per point; connects as libpq's environment says, with the right to
# create a database. pg_ivm is not in Debian 12 and 13: its figures in facts are from a build of its own.
seconds=${1:-5} db=dbopt_bench_writers
p() { psql -X -q -A -t -v ON_ERROR_STOP=1 -d $db "$@"; }
psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $db WITH (FORCE)" -c "CREATE DATABASE $db" || exit 1
dir=$(mktemp -d)
trap 'psql -X -q -d postgres -c "DROP DATABASE $db WITH (FORCE)"; rm -rf "$dir"' EXIT
p <<SQL
SET client_min_messages = warning;
CREATE EXTENSION dbopt;
SELECT dbopt.pause('matview');
CREATE TABLE plain (id bigserial PRIMARY KEY, g int, v int);
CREATE TABLE empty (LIKE plain INCLUDING ALL);
CREATE TABLE captured (LIKE plain INCLUDING ALL);
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER t AFTER INSERT ON empty REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION nothing();
CREATE MATERIALIZED VIEW m AS SELECT g, count(*) AS n, sum(v) AS s FROM captured GROUP BY g;
CREATE UNIQUE INDEX ON m (g);
SELECT dbopt.matview_manage('m');
SQL
p -c "SELECT mode FROM dbopt.matview_refresh('m')" >/dev/null
for t in plain empty captured; do
    echo "INSERT INTO $t (g, v) VALUES ((random() * 1000)::int, 1);" >"$dir/$t.sql"
done
tps() { pgbench -n -M prepared -f "$dir/$1.sql" -c "$2" -j "$2" -T "$seconds" $db 2>/dev/null | awk '/^tps/ {print $3}'; }
for c in 1 4; do
    a=$(tps plain $c); b=$(tps captured $c); a2=$(tps plain $c)
    awk -v a="$a" -v a2="$a2" -v b="$b" -v c=$c 'BEGIN {printf "single-row inserts, %d clients: plain %.0f and %.0f/s, captured %.0f/s = %.2fx the time\n", c, a, a2, b, (a + a2) / 2 / b}'
done
ms() { p -c '\timing on' -c "$1" | awk '/^Time/ {print $2}'; }
bulk() { ms "INSERT INTO $1 (g, v) SELECT i % 1000, i FROM generate_series(1, 200000) i"; }
for round in 1 2 3; do
    a=$(bulk plain); e=$(bulk empty); b=$(bulk captured)
    awk -v a="$a" -v e="$e" -v b="$b" 'BEGIN {printf "200,000 rows at once: plain %.0f ms, empty trigger %.2fx, captured %.2fx\n", a, e / a, b / a}'
done
p -c "SELECT mode FROM dbopt.matview_refresh('m')" >/dev/null
echo "SELECT * FROM m WHERE g = 5;" >"$dir/read.sql"
worst() { pgbench -n -M prepared -f "$dir/read.sql" -c 1 -T "$seconds" -l --log-prefix="$dir/$1" $db >/dev/null 2>&1; sort -n -k3 "$dir/$1".* | tail -1 | awk '{print $3 / 1000}'; }
idle=$(worst idle)
(for i in $(seq 50); do p -c "UPDATE captured SET v = v + 1 WHERE id % 97 = $i" -c "SELECT mode FROM dbopt.matview_refresh('m')"; done >/dev/null 2>&1) & busy=$!
during=$(worst during)
kill $busy 2>/dev/null; wait $busy 2>/dev/null
echo "readers: worst $idle ms idle, $during ms while writers and incremental refreshes run"
p -c "SELECT mode FROM dbopt.matview_refresh('m')" -c "VACUUM m" -c "SELECT pg_relation_size('m')" >"$dir/size"
start=$(p -c "SELECT pg_relation_size('m')")
wal() { local a; a=$(p -c "SELECT pg_current_wal_insert_lsn()"); p -c "$1" >/dev/null; p -c "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '$a')::bigint"; }
total=0
for i in $(seq 20); do
    p -c "UPDATE captured SET v = v + 1 WHERE g % 100 = $i"
    total=$((total + $(wal "SELECT mode FROM dbopt.matview_refresh('m')")))
done
p -c "UPDATE captured SET v = v + 1 WHERE g % 100 = 50"
concurrent=$(wal "REFRESH MATERIALIZED VIEW CONCURRENTLY m")
echo "20 refreshes at 1 %: heap $start -> $(p -c "SELECT pg_relation_size('m')") bytes; WAL $((total / 20)) bytes each, CONCURRENTLY $concurrent"
