#!/bin/bash
# Instructions per transaction that statement capture adds, beside pg_stat_statements, in one run.
# Each variant runs pgbench twice, with few and with many transactions, in a backend under cachegrind;
# the difference of the two counts, over the difference in transactions, is free of start-up costs.
# usage: capture_overhead.sh [short] [long]       needs valgrind and the server's pgbench
set -euo pipefail
short=${1:-1000}; long=${2:-5000}
bin=${PGBIN:-$(${PG_CONFIG:-pg_config} --bindir)}
work=$(mktemp -d /tmp/capture_overhead.XXXXXX); port=${BENCH_PORT:-5999}
me=$(id -un); run() { "$@"; }
if [ "$me" = root ]; then chown postgres "$work"; run() { runuser -u postgres -- "$@"; }; fi
trap 'run "$bin"/pg_ctl -D "$work/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
run "$bin"/initdb -D "$work/data" -A trust --no-sync >/dev/null
{ echo "port=$port"; echo "unix_socket_directories='$work'"; echo "listen_addresses=''"; echo "fsync=off"
  echo "autovacuum=off"; } >> "$work/data/postgresql.conf"
export PGHOST=$work PGPORT=$port PGUSER=$( [ "$me" = root ] && echo postgres || echo "$me" ) PGDATABASE=postgres
run "$bin"/pg_ctl -D "$work/data" -l "$work/log" -w start >/dev/null
"$bin"/pgbench -i -s 1 -q >/dev/null 2>&1
run "$bin"/pg_ctl -D "$work/data" -w stop >/dev/null

count() { # count variant mode transactions: instructions of the one backend that served pgbench
  local out="$work/cg.$1.$2.$3"
  run rm -f "$out".*
  run valgrind --tool=cachegrind --cache-sim=no --trace-children=yes --cachegrind-out-file="$out.%p" \
    "$bin"/postgres -D "$work/data" -c shared_preload_libraries="${libraries[$1]}" ${options[$1]} >"$work/vg.log" 2>&1 &
  local server=$!
  for _ in $(seq 120); do "$bin"/pg_isready -q && break; sleep 0.5; done
  "$bin"/psql -XAtc "CREATE EXTENSION IF NOT EXISTS pg_stat_statements" >/dev/null 2>&1 || true
  "$bin"/pgbench -n -S -M "$2" -c 1 -t "$3" >/dev/null 2>&1
  run kill -INT "$(head -1 "$work/data/postmaster.pid")"; wait "$server" 2>/dev/null || true
  # the backend that ran pgbench has executed the most
  for f in "$out".*; do awk '/^summary:/ {print $2}' "$f"; done | sort -n | tail -1
}
declare -A libraries=([none]="" [pg_stat_statements]=pg_stat_statements [dbopt]=dbopt [dbopt_off]=dbopt)
declare -A options=([none]="-c compute_query_id=auto" [pg_stat_statements]="" [dbopt]="-c dbopt.enabled=off" [dbopt_off]="-c dbopt.capture=none -c compute_query_id=off -c dbopt.enabled=off")
for mode in ${MODES:-prepared simple}; do
  declare -A per=()
  for v in none pg_stat_statements dbopt dbopt_off; do
    a=$(count $v $mode $short); b=$(count $v $mode $long)
    per[$v]=$(( (b - a) / (long - short) ))
    printf '%-10s %-20s %8d instructions a transaction\n' "$mode" "$v" "${per[$v]}"
  done
  awk -v n=${per[none]} -v p=${per[pg_stat_statements]} -v d=${per[dbopt]} -v o=${per[dbopt_off]} -v m=$mode \
    'BEGIN { printf "%-10s added: pg_stat_statements %+d, dbopt %+d = %.2fx; switched off %+.2f %%\n", m, p-n, d-n, (d-n)/(p-n), 100*(o-n)/n }'
done
