#!/bin/bash
# A round of maintenance while a transaction of 8 s is open on the set: what everybody else waits.
# usage: PGHOST=… PGPORT=… test/bench/partition_open.sh     (databases are made and dropped)
# For dbopt and pg_partman of the same machine: one partition to make, one to retire; the open
# transaction has read the whole table, or has written one row. Latencies from the planned start of
# each statement (pgbench -R 100).
set -e
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
q() { psql -XqAt -d "$1" -c "$2"; }
cat > "$work/insert.sql" <<<"INSERT INTO t (id, ts, v) VALUES (1, now(), 'x');"
cat > "$work/select.sql" <<<"SELECT count(*) FROM t WHERE ts > now() - interval '1 hour';"
setup() { # database
  psql -Xq -d postgres -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1" 2>/dev/null
  q "$1" "CREATE TABLE public.t (id bigint, ts timestamptz NOT NULL, v text) PARTITION BY RANGE (ts)"
  if [ "$1" = bench_dbopt ]; then
    q "$1" "CREATE EXTENSION dbopt"; q "$1" "SELECT count(*) FROM dbopt.partition_manage('public.t', '1 day', premake => 5, start_at => (current_date - 10)::text, timezone => 'UTC', default_partition => true)" >/dev/null
  else
    q "$1" "CREATE EXTENSION pg_partman"; q "$1" "SELECT public.create_parent('public.t', 'ts', 'native', 'daily', p_premake := 5, p_start_partition := (current_date - 10)::text)" >/dev/null
  fi
  q "$1" "INSERT INTO t SELECT i, current_date - i % 9, 'x' FROM generate_series(1, 10000) i"
}
case_of() { # database work transaction
  setup "$1"
  local round="SELECT count(*) FROM dbopt.partition_maintain('public.t')"
  [ "$1" = bench_dbopt ] || round="CALL public.run_maintenance_proc()"
  if [ "$2" = create ]; then
    [ "$1" = bench_dbopt ] && q "$1" "UPDATE dbopt.partition_config SET premake = 6" || q "$1" "UPDATE public.part_config SET premake = 6"
  else
    [ "$1" = bench_dbopt ] && q "$1" "UPDATE dbopt.partition_config SET retention = '8 days', keep_days = 8" || q "$1" "UPDATE public.part_config SET retention = '8 days', retention_keep_table = true"
  fi
  local hold="SELECT count(*) FROM t"; [ "$3" = scan ] || hold="INSERT INTO t VALUES (7, now(), 'held')"
  for s in insert select; do pgbench -n -d "$1" -f "$work/$s.sql" -c 1 -R 100 -T 14 -l --log-prefix="$work/$s" >/dev/null 2>&1 & done
  sleep 1.5
  psql -XqAt -d "$1" -c "BEGIN; $hold; SELECT pg_sleep(8); COMMIT" >/dev/null & local holder=$!
  sleep 0.7
  local from=$(date +%s.%N) began=$(date +%s%N)
  psql -XqAt -d "$1" -c "SET dbopt.partition_lock_wait = 20" -c "$round" >/dev/null 2>"$work/err" || head -1 "$work/err"
  local took=$((($(date +%s%N) - began) / 1000000))
  wait $holder; wait
  for s in insert select; do cat "$work/$s".[0-9]* | awk -v s="$from" -v what="$s" '{t = $5 + $6 / 1e6; l = $3 / 1000; if (t - l / 1000 >= s - 0.2) { if (l > d) d = l } else if (l > b) b = l } END {printf "%s: slowest %.0f ms (before %.0f); ", what, d, b}'; rm -f "$work/$s".[0-9]*; done
  echo "round took $took ms, the transaction was open for another 7300"
}
for w in create retire; do for t in scan write; do for d in bench_dbopt bench_partman; do echo -n "$w, open $t, ${d#bench_}: "; case_of $d $w $t; done; done; done
for d in bench_dbopt bench_partman; do psql -Xq -d postgres -c "DROP DATABASE $d WITH (FORCE)"; done
