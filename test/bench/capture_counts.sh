#!/bin/bash
# No count is lost: a million statements by two clients; and the shared memory of 8,192 statements.
#   PGHOST=… PGPORT=… PGUSER=… test/bench/capture_counts.sh [statements per client]      (a server that preloads dbopt)
set -eu
each=${1:-500000}
db=dbopt_bench_counts
dropdb --if-exists $db 2>/dev/null; createdb $db
sql() { psql -XAtq -d $db -v ON_ERROR_STOP=1 "$@"; }
sql -c 'CREATE EXTENSION dbopt' -c 'CREATE TABLE counts AS SELECT g AS id, g AS v FROM generate_series(1, 1000) g' -c 'CREATE INDEX ON counts (id)' -c 'SELECT dbopt.workload_reset()' >/dev/null
script=$(mktemp); trap 'rm -f "$script"' EXIT
printf '\\set id random(1, 1000)\nSELECT v FROM counts WHERE id = :id;\n' >"$script"
pgbench -n -M prepared -c 2 -j 2 -t "$each" -f "$script" $db | sed -n 's/^tps/tps/p'
counted=$(sql -c "SELECT sum(calls) || ' calls, ' || sum(rows) || ' rows, ' || sum(transactions) || ' transactions' FROM dbopt.workload WHERE query LIKE 'SELECT v FROM counts%'")
echo "sent $((2 * each)), counted $counted"
psql -XAtq -d $db -c "SELECT 'shared memory of capture: ' || pg_size_pretty(allocated_size) || ' for ' || current_setting('dbopt.max_statements') || ' statements' FROM pg_shmem_allocations WHERE name = 'dbopt workload'"
dropdb --force $db
[ "${counted%% calls*}" = $((2 * each)) ]
