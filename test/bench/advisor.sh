#!/bin/bash
# Index advice against Extend over HypoPG, both really built, on one server that preloads dbopt.
# usage: [KEYS=0] [SKIP="2, 17, 20"] advisor.sh star|mart|film|tpch [scale] [share of the tables' bytes ...]
#   star: 19 questions (seconds); mart: 90 questions with many joins, film: 40 with 3 to 14 relations and
#   heavy skew (for both the peer takes many minutes: give one share); tpch: its 22 queries, KEYS=0 without
#   primary keys. SKIP leaves out questions by number.
# Connection: the usual PG* variables; a database bench_<schema> is made and dropped.
set -euo pipefail
schema=${1:?star, mart, film or tpch}; scale=${2:-1}; shift $(( $# > 2 ? 2 : $# ))
shares=$(IFS=,; echo "${*:-0.02 0.05 0.1 0.25 0.5 1.0}" | tr ' ' ',')
here=$(cd "$(dirname "$0")" && pwd); db=bench_$schema
psql() { command "${PSQL:-psql}" -X -q -v ON_ERROR_STOP=1 "$@"; }
psql -d postgres -c "DROP DATABASE IF EXISTS $db" -c "CREATE DATABASE $db"
trap 'psql -d postgres -c "DROP DATABASE IF EXISTS $db"' EXIT
export PGDATABASE=$db
psql -c 'CREATE EXTENSION dbopt' -c 'CREATE EXTENSION pg_trgm' -c 'CREATE EXTENSION hypopg' -c "ALTER DATABASE $db SET jit = off"
psql -v scale="$scale" -v keys="${KEYS:-1}" -f "$here/advisor_$schema.sql" -f "$here/advisor_${schema}_queries.sql" >/dev/null
[ -z "${SKIP:-}" ] || psql -c "DELETE FROM $schema.question WHERE n IN ($SKIP)"
sed "s/\bstar\b/$schema/g" "$here/advisor_truth.sql" | psql -v budget='' -f -
sed "s/\bstar\b/$schema/g; s/ARRAY\[0.02, 0.05, 0.1, 0.25, 0.5, 1.0\]/ARRAY[$shares]/" "$here/advisor_peer.sql" | psql -f -
