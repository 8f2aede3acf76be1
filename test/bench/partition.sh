#!/bin/bash
# Rounds of maintenance against pg_partman of the same machine, in one run: ratios, not seconds, count.
# usage: PGHOST=… PGPORT=… test/bench/partition.sh [sets] [partitions per set] [poison]
#   (a server with dbopt preloaded; databases are made and dropped)
# The goals' rows: 100 61; 1000 8 poison; 1 5000.
set -e
sets=${1:-100} parts=${2:-61} poison=${3:-}
behind=$((parts / 2)) ahead=$((parts - parts / 2 - 1))
q() { psql -XqAt -d "$1" -c "$2"; }
ms() { local a=$(date +%s%N); psql -XqAt -d "$1" -c "$2" >/dev/null 2>/tmp/bench.$$.err || echo "  $1: $(head -1 /tmp/bench.$$.err)" >&2; echo $((($(date +%s%N) - a) / 1000)) ; }
best() { local b=999999999; for i in 1 2 3 4 5; do m=$(ms "$1" "$2"); [ "$m" -lt "$b" ] && b=$m; done; echo "$b"; }
per() { echo "scale=2; $1/$2" | bc; }
for d in bench_dbopt bench_partman; do psql -Xq -d postgres -c "DROP DATABASE IF EXISTS $d" -c "CREATE DATABASE $d"; done
make_tables="DO \$\$BEGIN FOR i IN 1..$sets LOOP EXECUTE format('CREATE TABLE public.t%s (id bigint, ts timestamptz NOT NULL, v text, PRIMARY KEY (id, ts)) PARTITION BY RANGE (ts)', i);
  EXECUTE format('CREATE INDEX ON public.t%s (v)', i); END LOOP; END\$\$"
q bench_dbopt "CREATE EXTENSION dbopt"; q bench_partman "CREATE EXTENSION pg_partman"
q bench_dbopt "$make_tables"; q bench_partman "$make_tables"
for i in $(seq "$sets"); do echo "SELECT count(*) FROM dbopt.partition_manage('public.t$i', '1 day', premake => $ahead, start_at => (current_date - $behind)::text, timezone => 'UTC');"; done | psql -XqAt -d bench_dbopt >/dev/null
for round in $(seq 20); do [ "$(q bench_dbopt "SELECT count(*) FROM dbopt.partition_maintain()")" = 0 ] && break; done # what a transaction leaves to the next
for i in $(seq "$sets"); do echo "SELECT public.create_parent('public.t$i', 'ts', 'native', 'daily', p_premake := $ahead, p_start_partition := (current_date - $behind)::text);"; done | psql -XqAt -d bench_partman >/dev/null
echo "partitions: dbopt $(q bench_dbopt "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid WHERE relkind = 'r'"), pg_partman $(q bench_partman "SELECT count(*) FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid WHERE relkind = 'r'")"
q bench_dbopt "VACUUM ANALYZE"; q bench_partman "VACUUM ANALYZE"
a=$(best bench_dbopt "SELECT count(*) FROM dbopt.partition_maintain()")
empty=$(best bench_dbopt "SELECT 1")
b=$(best bench_partman "SELECT public.run_maintenance()")
echo "nothing to do, $sets sets x $parts, new session: dbopt $a us (of which psql and connecting $empty), pg_partman $(psql -XqAt -d bench_partman -c "SELECT extversion FROM pg_extension WHERE extname = 'pg_partman'") $b us: $((b / a))x"
q bench_dbopt "UPDATE dbopt.partition_config SET premake = premake + 1"; q bench_partman "UPDATE public.part_config SET premake = premake + 1"
a=$(ms bench_dbopt "SELECT count(*) FROM dbopt.partition_maintain()"); b=$(ms bench_partman "CALL public.run_maintenance_proc()")
for i in $(seq "$sets"); do echo "CREATE TABLE public.raw$i (LIKE public.t$i INCLUDING ALL EXCLUDING INDEXES); ALTER TABLE public.t$i ATTACH PARTITION public.raw$i FOR VALUES FROM ('2090-01-01') TO ('2090-01-02');"; done > /tmp/raw.$$.sql
raw=$(s=$(date +%s%N); psql -XqAt -d bench_dbopt -f /tmp/raw.$$.sql; echo $((($(date +%s%N) - s) / 1000)))
echo "one partition more in each: dbopt $a us, pg_partman $b us, bare LIKE + ATTACH $raw us: dbopt/pg_partman $(per $a $b), dbopt/bare $(per $a $raw)"
if [ -n "$poison" ]; then
  # One set in which nothing can be made, in both databases alike.
  for d in bench_dbopt bench_partman; do q $d "CREATE FUNCTION public.poison() RETURNS event_trigger LANGUAGE plpgsql AS \$\$BEGIN
    IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity ~ '^public.t$((sets / 2))_') THEN RAISE EXCEPTION 'poisoned'; END IF; END\$\$;
    CREATE EVENT TRIGGER poison ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.poison()"; done
  q bench_dbopt "UPDATE dbopt.partition_config SET premake = premake + 1"; q bench_partman "UPDATE public.part_config SET premake = premake + 1"
  before=$(q bench_partman "SELECT count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE relkind = 'r'")
  echo "one poisoned of $sets: dbopt $(q bench_dbopt "SELECT string_agg(n || ' ' || status, ', ' ORDER BY n DESC) FROM (SELECT status, count(*) AS n FROM dbopt.partition_maintain() GROUP BY 1) x")"
  ms bench_partman "CALL public.run_maintenance_proc()" >/dev/null
  echo "  pg_partman made $(($(q bench_partman "SELECT count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE relkind = 'r'") - before)) of $((sets - 1))"
fi
rm -f /tmp/raw.$$.sql /tmp/bench.$$.err
for d in bench_dbopt bench_partman; do psql -Xq -d postgres -c "DROP DATABASE $d WITH (FORCE)"; done
