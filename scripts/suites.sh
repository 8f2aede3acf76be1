# The suites of scripts/test; sourced by it. A suite is a function suite_NAME that writes TAP (or the
# output of its tool) to its log and prints `PASSED FAILED` to descriptor 3.

PGXS_DIR() { dirname "$(dirname "$("$PG_CONFIG" --pgxs)")"; }

# Files of a suite, filtered by --only.
files_of() { ls "$@" 2>/dev/null | grep -F -- "${ONLY:-}"; }
has() { [ -n "$(files_of "$@")" ]; }

# Counts TAP on standard input. A file that dies or plans wrong counts as one failure at least.
count_tap() {
    awk '/^not ok +[0-9]/ && !/# TODO/ { f++; next } /^ok +[0-9]/ { p++ }
         /Non-zero (wait|exit) status|Parse errors:/ { broken++ }
         END { if (broken && !f) f = broken; print p + 0, f + 0 }'
}

# One cluster serves regress, isolation and pgtap, with the settings that the tests rely on.
need_cluster() {
    [ -n "${SUITE_CLUSTER:-}" ] && { cluster_use main; return; }
    cluster_start main "shared_preload_libraries = 'dbopt'" "max_worker_processes = 32" \
        "fsync = off" "max_connections = 60" "max_prepared_transactions = 5" "${PRELOAD_EXTRA:-}" \
        "log_line_prefix = '%m [%p] %q%a %d '"
    SUITE_CLUSTER=1
}

suite_check() {
    [ -n "$ONLY" ] && { echo 0 0 >&3; return; }
    python3 "$TREE/scripts/check" --pg-config "$PG_CONFIG" >"$WORK/out/check.tap" 2>&1
    cat "$WORK/out/check.tap"; count_tap <"$WORK/out/check.tap" >&3
}

run_unit() { # FOLDER CMAKE-OPTION...
    local b=$1; shift
    cmake -S "$TREE" -B "$b" "$@" >"$b.log" 2>&1 && cmake --build "$b" -j"$(nproc)" >>"$b.log" 2>&1 ||
        { tail -40 "$b.log"; echo "0 1" >&3; return; }
    "$b/dbopt_unit" --gtest_brief=1 --gtest_filter="*${ONLY:-}*" >"$b.out" 2>&1
    local rc=$?
    cat "$b.out"
    awk -v rc=$rc '/^\[  PASSED  \] [0-9]+ test/ { p = $4 } /^\[  FAILED  \] [0-9]+ test/ { f = $4 }
         / FAILED TESTS?$/ { f = $1 } END { if (rc && !f) f = 1; print p + 0, f + 0 }' "$b.out" >&3
}
suite_unit() { run_unit "$WORK/unit"; }
# The same tests with the address and undefined-behaviour sanitizers.
suite_sanitize() {
    export ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    run_unit "$WORK/sanitize" -DDBOPT_SANITIZE=ON
}

# pg_regress and pg_isolation_regress; NAMES are the tests without their ending.
run_regress() { # TOOL INPUT-FOLDER NAMES...
    local tool=$1 in=$2 out=$WORK/out/$(basename "$1"); shift 2
    need_cluster
    mkdir -p "$out"; [ "$(id -u)" = 0 ] && chown "$SERVER_USER:" "$out"
    (cd "$out" && as_server "$(PGXS_DIR)/test/$tool" --inputdir="$in" --outputdir="$out" --bindir="$PGBIN" \
        --dbname=dbopt_regress --load-extension=dbopt "$@") >"$out.log" 2>&1
    local rc=$?
    cat "$out.log"
    [ -f "$out/regression.diffs" ] && head -120 "$out/regression.diffs"
    # A missing expected file ends the run early: what did not pass has failed.
    awk -v n=$# -v rc=$rc '/^(ok |test .* \.\.\. ok)/ { p++ } END { f = n - p; if (rc && f <= 0) f = 1
         print p + 0, f }' "$out.log" >&3
}
names_of() { files_of "$@" | sed 's|.*/||; s|\.[a-z]*$||'; }
suite_regress() { run_regress regress/pg_regress "$TREE" $(names_of "$TREE"/sql/*.sql); }
suite_isolation() {
    run_regress isolation/pg_isolation_regress "$TREE/test/isolation" \
        $(names_of "$TREE"/test/isolation/specs/*.spec)
}

# Every file in a database of its own.
run_pgtap() { # EXTENSIONS FILES...
    local exts=$1 f db=dbopt_tap log=$WORK/out/pgtap.$$.log p=0 n=0 c; shift
    need_cluster
    for f in "$@"; do
        psql -Xqc "DROP DATABASE IF EXISTS $db WITH (FORCE)" -c "CREATE DATABASE $db" &&
            for c in $exts; do psql -Xq -d $db -c "CREATE EXTENSION $c CASCADE"; done
        pg_prove -v -d $db "$f" >"$log" 2>&1
        cat "$log"; count_tap <"$log" >"$log.n"; read -r p1 n1 <"$log.n"
        [ "$((p1 + n1))" -gt 0 ] || { echo "not ok - $f ran no test"; n1=1; }
        grep -q '^Result: \(PASS\|NOTESTS\)' "$log" || [ "$n1" -gt 0 ] || n1=1
        p=$((p + p1)); n=$((n + n1))
    done
    psql -Xqc "DROP DATABASE IF EXISTS $db WITH (FORCE)"
    echo $p $n >&3
}
suite_pgtap() { run_pgtap "dbopt pgtap" $(files_of "$TREE"/test/pgtap/*.sql); }

# The test-only extension over src/pg: never part of the product.
suite_pgtest() {
    need_cluster
    make -s -C "$TREE/test/pgtest" -j"$(nproc)" install PG_CONFIG="$PG_CONFIG" >"$WORK/pgtest.log" 2>&1 ||
        { tail -30 "$WORK/pgtest.log"; echo 0 1 >&3; return; }
    run_pgtap "dbopt pgtap dblink dbopt_pgtest" $(files_of "$TREE"/test/pgtest/t/*.sql)
}

suite_tap() {
    local d=$TREE/test/tap pgxs log=$WORK/out/tap.prove p n f; pgxs=$(PGXS_DIR)
    (
        cd "$d" || exit 1
        unset PGHOST PGPORT PGUSER PGDATABASE PGAPPNAME
        export PERL5LIB=$pgxs/test/perl:$d/lib PG_REGRESS=$pgxs/test/regress/pg_regress \
            TESTDIR=$d TESTDATADIR=$d/tmp_check TESTLOGDIR=$d/tmp_check/log \
            PG_TEST_PORT_DIR=$WORK/ports top_builddir=$pgxs/.. TMPDIR=/tmp
        mkdir -p "$WORK/ports" "$d/tmp_check/log"
        [ "$(id -u)" = 0 ] && chown -R "$SERVER_USER:" "$WORK/ports" "$d"
        as_server prove -v -j"${TAP_JOBS:-3}" ${1:-$(cd "$d" && files_of t/*.pl)}
    ) >"$log" 2>&1
    cat "$log"; count_tap <"$log" >"$log.n"; read -r p n <"$log.n"
    grep -q '^Result: PASS' "$log" || [ "$n" -gt 0 ] || n=1
    # What failed beside other tests runs once more, alone: two cores, many servers. Both runs are in
    # the log; the second one counts.
    local again; again=$(sed -n 's/^\(t\/[^ ]*\.pl\) *(Wstat.*/\1/p' "$log" | sort -u)
    if [ "$n" -gt 0 ] && [ -n "$again" ] && [ -z "${1:-}" ]; then
        for f in $again; do rm -rf "$d/tmp_check/t_$(basename "$f" .pl)"_*; done
        TAP_JOBS=1 suite_tap "$(echo $again)" 3>"$log.again"
        local first=$n; read -r _ n <"$log.again"
        [ "$n" -gt 0 ] || { p=$((p + first)); echo $again >"$WORK/out/second-try"; }
    fi
    echo $p $n >&3
}

# What no server log may contain, whatever the tests said. A test that kills (signal 9, 15) or makes the
# server panic on purpose writes its log below test/tap.
suite_logs() {
    local bad='TRAP:|still active|[Ll]eak(ed|s)?:? |left non-empty SPI|terminated by signal (4|6|7|8|11)'
    local f p=0 n=0 b
    for f in "$WORK"/main/log "$TREE"/test/tap/tmp_check/log/*.log; do
        [ -f "$f" ] || continue
        b=$bad; [ "$f" = "$WORK/main/log" ] && b="$bad|PANIC|terminated by signal"
        # A line that begins with a tab goes on with a statement's text.
        if grep -nE "$b" "$f" | grep -vE 'STATEMENT:|LOG:  statement:|^[0-9]+:\s' >"$WORK/hits"; then
            n=$((n + 1)); echo "not ok - $f"; head -10 "$WORK/hits"
        else p=$((p + 1)); fi
    done
    echo $p $n >&3
}

# Runs one suite; prints its line, and what failed.
run_suite() {
    local name=$1 log=$WORK/out/$1.log t=$SECONDS p=0 f=1
    case $name in
        hook-*) { "$TREE/test/suites/${name#hook-}" >"$log" 2>&1; } ; count_tap <"$log" >"$log.3" ;;
        *) "suite_$name" >"$log" 2>&1 3>"$log.3" ;;
    esac
    read -r p f < <(tail -1 "$log.3")
    [ -n "${f:-}" ] || { p=0 f=1; }
    [ "$((p + f))" = 0 ] && [ -z "$ONLY" ] && { f=1; echo "the suite has files but ran no test" >>"$log"; }
    printf '%-12s %5d passed %4d failed  %4d s\n' "${name#hook-}" "$p" "$f" $((SECONDS - t))
    [ "$name" = tap ] && [ -f "$WORK/out/second-try" ] &&
        echo "    passed on the second try, alone: $(cat "$WORK/out/second-try")"
    if [ "$f" -gt 0 ]; then
        { grep -nE -A12 '^not ok|FAILED|Failure$|^test .* FAILED|^# +Failed|ERROR:|Dubious|error:|signal' "$log" ||
            tail -40 "$log"; } | grep -v ': *ok ' | head -"${DETAIL_LINES:-80}" | sed 's/^/    /'
        [ -f "$WORK/out/pg_regress/regression.diffs" ] && [ "$name" = regress ] &&
            head -60 "$WORK/out/pg_regress/regression.diffs" | sed 's/^/    /'
    fi
    echo "$p passed, $f failed" >"$WORK/out/$name.count"
}


wanted() { # NAME: chosen by --suite, or all
    [ ${#SUITES[@]} = 0 ] && return 0
    local s; for s in "${SUITES[@]}"; do [ "$s" = "$1" ] && return 0; done
    return 1
}

# The suites that share a cluster run one after the other; beside them the ones that mostly wait.
run_suites() {
    export TREE WORK PG_VERSION
    local t=$TREE/test h
    (
        wanted tap && has "$t"/tap/t/*.pl && run_suite tap
        for h in $(files_of "$t"/suites/*); do
            wanted "$(basename "$h")" && [ -x "$h" ] && run_suite "hook-$(basename "$h")"
        done
    ) &
    local side=$!
    wanted check && run_suite check
    wanted regress && has "$TREE"/sql/*.sql && run_suite regress
    wanted isolation && has "$t"/isolation/specs/*.spec && run_suite isolation
    wanted pgtap && has "$t"/pgtap/*.sql && run_suite pgtap
    wanted pgtest && has "$t"/pgtest/t/*.sql && run_suite pgtest
    wanted unit && has "$t"/unit/*_test.cpp && run_suite unit
    # Once is enough: it does not depend on the server's version.
    wanted sanitize && [ "$INSIDE" = 0 ] && has "$t"/unit/*_test.cpp && run_suite sanitize
    [ -n "${SUITE_CLUSTER:-}" ] && cluster_stop main fast
    wait $side
    has "$WORK"/main/log "$t"/tap/tmp_check/log/*.log && run_suite logs
}
