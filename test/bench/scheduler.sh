#!/bin/bash
# The scheduler's goals, measured. Never run by CI. Prints one line per goal: figure, goal, pass or FAIL.
#   test/bench/scheduler.sh [SECONDS]    uses the libpq variables for a superuser of a server with dbopt
#                                        loaded; makes and drops databases and jobs named bench_…
#   PGBIN=/usr/lib/postgresql/15/bin     also measures a promotion, on a standby of that server
# 1. CPU of our workers when idle and with 1,000 jobs, as per cent of one core (from /proc)
# 2. gaps of a 1-second job while every ordinary slot is busy with long jobs
# 3. DROP DATABASE with our worker connected, with and without FORCE, by an owner who is no superuser
# 4. from pg_promote() to the first run of a job
set -eu
seconds=${1:-30}
q() { psql -XAtqc "$1" "${@:2}"; }
now() { date +%s.%N; }
verdict() { # WHAT FIGURE UNIT GOAL
    awk -v w="$1" -v f="$2" -v u="$3" -v g="$4" \
        'BEGIN { printf "%-58s %8.2f %-4s goal %5.2f  %s\n", w, f, u, g, f <= g ? "pass" : "FAIL" }'
}
ours() { q "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'dbopt%' AND backend_type <> 'dbopt job worker'"; }
ticks() { # user and system time of our long-lived processes; of jobs' processes, too, with an argument
    local t=0 f p; for p in $(ours); do f=$(sed 's/.*) //' "/proc/$p/stat" 2>/dev/null) || continue
        set -- $f; t=$((t + ${12} + ${13})); done; echo $t
}
cpu() { # per cent of a core over some seconds
    local a b hz; hz=$(getconf CLK_TCK); a=$(ticks); sleep "$1"; b=$(ticks)
    awk -v d=$((b - a)) -v hz="$hz" -v s="$1" 'BEGIN { printf "%.3f", 100 * d / hz / s }'
}
q "CREATE EXTENSION IF NOT EXISTS dbopt" 2>/dev/null
workers=$(q "SHOW dbopt.max_workers")
sleep 15
verdict "idle, all rooms' rounds: CPU" "$(cpu "$seconds")" % 0.1

q "SELECT count(dbopt.job_add('bench_' || i, format('%s %s * * *', i % 60, i % 24), 'SELECT 1'))
   FROM generate_series(1, 1000) i" >/dev/null
sleep 5
verdict "1,000 daily jobs: CPU" "$(cpu "$seconds")" % 1
q "SELECT count(dbopt.job_alter(name, schedule => format('%s * * * *', substr(name, 7)::int % 60)))
   FROM dbopt.jobs WHERE name LIKE 'bench\_%'" >/dev/null
sleep 5
verdict "1,000 hourly jobs, 17 runs a minute: CPU" "$(cpu 60)" % 1
q "SELECT count(dbopt.job_remove(name)) FROM dbopt.jobs WHERE name LIKE 'bench\_%'" >/dev/null

q "SELECT count(dbopt.job_add('bench_long_' || i, '1 second', 'SELECT pg_sleep(3600)'))
   FROM generate_series(1, $workers + 2) i" >/dev/null
sleep 3
q "SELECT dbopt.job_add('bench_second', '1 second', 'SELECT 1')" >/dev/null
sleep "$seconds"
gaps="SELECT started_at - lag(started_at) OVER (ORDER BY run_id) AS gap FROM dbopt.job_runs
      WHERE job = 'bench_second' ORDER BY run_id OFFSET 2"
echo "  $(q "SELECT count(*) FROM dbopt.job_runs WHERE status = 'running' AND job LIKE 'bench_long%'") of $workers slots busy," \
    "$(q "WITH r AS ($gaps) SELECT count(*) FROM r") gaps, median $(q "WITH r AS ($gaps) SELECT
        round(extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY gap)), 3) FROM r") s"
verdict "1-second job under full slots: longest gap" \
    "$(q "WITH r AS ($gaps) SELECT round(extract(epoch FROM max(gap)), 3) FROM r")" s 1.1
q "SELECT count(dbopt.job_cancel(name)) FROM dbopt.jobs WHERE name LIKE 'bench%'" >/dev/null
q "SELECT count(dbopt.job_remove(name)) FROM dbopt.jobs WHERE name LIKE 'bench%'" >/dev/null

q "DROP ROLE IF EXISTS bench_owner" 2>/dev/null; q "CREATE ROLE bench_owner LOGIN CREATEDB"
for force in "" " WITH (FORCE)"; do
    q "CREATE DATABASE bench_drop OWNER bench_owner"
    q "CREATE EXTENSION dbopt; SELECT dbopt.job_add('sleep', '1 second', 'SELECT pg_sleep(60)')" -d bench_drop >/dev/null
    for _ in $(seq 100); do
        [ "$(q "SELECT count(*) FROM pg_stat_activity WHERE datname = 'bench_drop' AND backend_type = 'dbopt job worker'")" = 0 ] || break
        sleep 0.1
    done
    a=$(now); q "DROP DATABASE bench_drop$force" -U bench_owner; b=$(now)
    verdict "DROP DATABASE$force by its owner, a job running" "$(awk "BEGIN { print $b - $a }")" s 1
done
q "DROP ROLE bench_owner"

[ -n "${PGBIN:-}" ] || { echo "promotion: not measured, PGBIN is not set"; exit 0; }
d=$(mktemp -d); as() { if [ "$(id -u)" = 0 ]; then chown -R postgres "$d"; runuser -u postgres -- "$@"; else "$@"; fi; }
standby=$((PGPORT + 1))
q "SELECT dbopt.job_add('bench_promoted', '1 second', 'SELECT 1')" >/dev/null
as "$PGBIN/pg_basebackup" -h "$PGHOST" -p "$PGPORT" -U "$PGUSER" -D "$d/data" -R -c fast
printf '%s\n' "port = $standby" "unix_socket_directories = '$d'" "listen_addresses = ''" >>"$d/data/postgresql.auto.conf"
as "$PGBIN/pg_ctl" -D "$d/data" -l "$d/log" -w start >/dev/null
trap 'as "$PGBIN/pg_ctl" -D "$d/data" -m immediate stop >/dev/null; rm -rf "$d"' EXIT
s() { psql -XAtq -h "$d" -p "$standby" -c "$1"; }
sleep 3
a=$(s "SELECT clock_timestamp()"); s "SELECT pg_promote()" >/dev/null
for _ in $(seq 200); do
    b=$(s "SELECT min(started_at) FROM dbopt.job_runs WHERE started_at > '$a' AND status = 'done'")
    [ -z "$b" ] || break; sleep 0.05
done
verdict "pg_promote() to the first run of a job" "$(s "SELECT round(extract(epoch FROM '$b'::timestamptz - '$a'), 3)")" s 2
q "SELECT dbopt.job_remove('bench_promoted')" >/dev/null
