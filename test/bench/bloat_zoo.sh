#!/bin/bash
# A zoo of heaps and indexes with every kind of bloat, and the truth about them in the same run:
# pgstattuple for dead and free space, VACUUM FULL and REINDEX for what a rewrite gives back.
#   test/bench/bloat_zoo.sh [heaps|indexes|all]     connects as libpq does (PGHOST, PGPORT …)
#   SCALE=1      1: heaps of at least 8,000 pages; 0.1 for a quick look
#   SEEDS=20     samples per relation, for the coverage of the intervals
#   KEEP=1       leaves the database behind
# Needs a superuser, the extensions dbopt and pgstattuple, autovacuum = off, and 5 GB at SCALE=1.
set -euo pipefail
what=${1:-all} SCALE=${SCALE:-1} SEEDS=${SEEDS:-20} DB=${DB:-bloat_zoo}
run() { psql -X -q -v ON_ERROR_STOP=1 -d "$DB" "$@"; }
psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $DB" -c "CREATE DATABASE $DB"
n=$(awk "BEGIN{print int(1000000*$SCALE)}")
here=$(cd "$(dirname "$0")" && pwd)
run -c "CREATE EXTENSION dbopt; CREATE EXTENSION pgstattuple; CREATE SCHEMA zoo"
if [ "$what" != indexes ]; then
  run -v n="$n" -f "$here/bloat_zoo_heaps.sql"
  run -v seeds="$SEEDS" -f "$here/bloat_zoo_heaps_truth.sql"
fi
if [ "$what" != heaps ]; then
  run -v n="$n" -f "$here/bloat_zoo_indexes.sql"
  run -v seeds="$((SEEDS / 4 + 1))" -f "$here/bloat_zoo_indexes_truth.sql"
fi
[ -n "${KEEP:-}" ] || psql -X -q -d postgres -c "DROP DATABASE $DB"
