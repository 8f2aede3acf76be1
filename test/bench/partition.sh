#!/bin/bash
# Rounds of maintenance against pg_partman of the same machine, in one run: ratios, not seconds, count.
# usage: PGHOST=… PGPORT=… test/bench/partition.sh [sets]   (a server with dbopt preloaded; databases are made and dropped)
set -e
sets=${1:-100}
q() { psql -XqAt -d "$1" -c "$2"; }
ms() { local a=$(date +%s%N); psql -XqAt -d "$1" -c "$2" >/dev/null; echo $((($(date +%s%N) - a) / 1000)) ; }
best() { local b=999999999; for i in 1 2 3 4 5; do m=$(ms "$1" "$2"); [ "$m" -lt "$b" ] && b=$m; done; echo "$b"; }
for d in bench_dbopt bench_partman; do psql -Xq -d postgres -c "DROP DATABASE IF EXISTS $d" -c "CREATE DATABASE $d"; done
make_tables="DO \$\$BEGIN FOR i IN 1..$sets LOOP EXECUTE format('CREATE TABLE public.t%s (id bigint, ts timestamptz NOT NULL, v text, PRIMARY KEY (id, ts)) PARTITION BY RANGE (ts)', i);
  EXECUTE format('CREATE INDEX ON public.t%s (v)', i); END LOOP; END\$\$"
q bench_dbopt "CREATE EXTENSION dbopt"; q bench_partman "CREATE EXTENSION pg_partman"
q bench_dbopt "$make_tables"; q bench_partman "$make_tables"
for i in $(seq "$sets"); do echo "SELECT count(*) FROM dbopt.partition_manage('public.t$i', '1 day', premake => 30, start_at => (current_date - 30)::text, timezone => 'UTC');"; done | psql -XqAt -d bench_dbopt >/dev/null
for i in $(seq "$sets"); do echo "SELECT public.create_parent('public.t$i', 'ts', 'native', 'daily', p_premake := 30, p_start_partition := (current_date - 30)::text);"; done | psql -XqAt -d bench_partman >/dev/null
echo "partitions: dbopt $(q bench_dbopt "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid WHERE relkind = 'r'"), pg_partman $(q bench_partman "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid WHERE relkind = 'r'")"
q bench_dbopt "VACUUM ANALYZE"; q bench_partman "VACUUM ANALYZE"
a=$(best bench_dbopt "SELECT count(*) FROM dbopt.partition_maintain()")
empty=$(best bench_dbopt "SELECT 1")
b=$(best bench_partman "SELECT public.run_maintenance()")
echo "nothing to do, $sets sets x 61, new session: dbopt $a us (of which connecting $empty), pg_partman $(psql -XqAt -d bench_partman -c "SELECT extversion FROM pg_extension WHERE extname = 'pg_partman'") $b us: $((b / a))x"
q bench_dbopt "UPDATE dbopt.partition_config SET premake = 31"; q bench_partman "UPDATE public.part_config SET premake = 31"
a=$(ms bench_dbopt "SELECT count(*) FROM dbopt.partition_maintain()"); b=$(ms bench_partman "CALL public.run_maintenance_proc()")
raw=$({ for i in $(seq "$sets"); do echo "CREATE TABLE public.raw$i (LIKE public.t$i INCLUDING ALL EXCLUDING INDEXES); ALTER TABLE public.t$i ATTACH PARTITION public.raw$i FOR VALUES FROM ('2090-01-01') TO ('2090-01-02');"; done; } > /tmp/raw.$$.sql; s=$(date +%s%N); psql -XqAt -d bench_dbopt -f /tmp/raw.$$.sql; echo $((($(date +%s%N) - s) / 1000)); rm -f /tmp/raw.$$.sql)
echo "one partition more in each: dbopt $a us, pg_partman $b us, bare LIKE + ATTACH $raw us: dbopt/pg_partman $(echo "scale=2; $a/$b" | bc), dbopt/bare $(echo "scale=2; $a/$raw" | bc)"
for d in bench_dbopt bench_partman; do psql -Xq -d postgres -c "DROP DATABASE $d"; done
