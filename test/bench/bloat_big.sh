#!/bin/bash
# One table of 1.7 GB: the time of a sample and of an exact reading, by one process and by two, against
# pgstattuple. Warm: best of five; cold: the median of three. The goals: sample 100x, exact 2x alone and 3.5x by two.
#   test/bench/bloat_big.sh      connects as libpq does; a superuser on the server's own machine
# Cold: the server's cache is emptied by a restart of PGDATA's server (RESTART='command') and the
# files are dropped from the system's cache (needs python3 and read access to them).
set -euo pipefail
DB=${DB:-bloat_big}
run() { psql -X -q -At -v ON_ERROR_STOP=1 -d "$DB" "$@"; }
psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $DB" -c "CREATE DATABASE $DB"
run -c "CREATE EXTENSION dbopt; CREATE EXTENSION pgstattuple; SET synchronous_commit = off;
  CREATE TABLE t_big AS SELECT g AS id, md5(g::text) AS v, repeat('x', 80) AS pad FROM generate_series(1, 11500000) g;
  DELETE FROM t_big WHERE id % 7 = 0 AND id < 6000000;"
files=$(run -c "SELECT current_setting('data_directory') || '/' || pg_relation_filepath('t_big')")
cold() {
  run -c CHECKPOINT
  [ -n "${RESTART:-}" ] && eval "$RESTART" >/dev/null
  python3 - "$files" <<'PY'
import glob, os, sys
for f in glob.glob(sys.argv[1] + "*"):
    fd = os.open(f, os.O_RDONLY); os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED); os.close(fd)
PY
}
once() { run -c "SET max_parallel_maintenance_workers = ${2:-0}" -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | tail -1; }
ms() { # statement, workers
  local times=5 which=1
  [ $round = cold ] && times=3 which=2
  for _ in $(seq $times); do
    if [ $round = cold ]; then cold; fi
    once "$1" "${2:-0}"
  done | sort -n | sed -n ${which}p
}
run -c "SELECT pg_size_pretty(pg_relation_size('t_big'))"
for round in warm cold; do
  [ $round = warm ] && run -c "SELECT count(*) FROM t_big; SELECT dbopt.table_bloat('t_big', 'exact')" >/dev/null
  peer=$(ms "SELECT pgstattuple('t_big')")
  alone=$(ms "SELECT dbopt.table_bloat('t_big', 'exact')")
  two=$(ms "SELECT dbopt.table_bloat('t_big', 'exact')" 1)
  sample=$(ms "SELECT dbopt.table_bloat('t_big')")
  awk -v r=$round -v p="$peer" -v e="$alone" -v w="$two" -v s="$sample" 'BEGIN {
    printf "%s: pgstattuple %.0f ms, exact alone %.0f ms (%.1fx), by two %.0f ms (%.1fx), sample %.2f ms (%.0fx)\n",
      r, p, e, p/e, w, p/w, s, p/s }'
done
run -c "SELECT 'errors of the sample, pp: dead ' || round((b.dead_pct - p.dead_tuple_percent)::numeric, 2) || ', free '
  || round((b.free_pct - p.free_percent)::numeric, 2) FROM dbopt.table_bloat('t_big') b, pgstattuple('t_big') p"
psql -X -q -d postgres -c "DROP DATABASE $DB"
