#!/bin/bash
# A hundred REINDEX CONCURRENTLY made to fail in seven ways: cancelled, terminated, out of time, the CALL cancelled
# or its session terminated, an error of the build, a crash. Nothing may be left behind.
#   test/bench/reindex_failures.sh [TIMES]        (some minutes; CI runs 21 of them)
DBOPT_REINDEX_FAILURES=${1:-100} exec "$(dirname "$0")/../../scripts/test" --suite tap --only 405
