#!/bin/bash
# The scheduler under pressure. Never run by CI.
#   test/bench/scheduler.sh         uses the libpq variables for a superuser of a server with dbopt loaded
# 1. gaps of a 1-second job while every ordinary slot is busy with long jobs
# 2. CPU of our workers when idle, and with 1,000 jobs, as per cent of one core (from /proc)
set -eu
seconds=${1:-20}
q() { psql -XAtqc "$1"; }
ours() { q "SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'dbopt%' AND backend_type <> 'dbopt job worker'"; }
ticks() { local t=0 f; for p in $(ours); do f=$(sed 's/.*) //' "/proc/$p/stat"); set -- $f; t=$((t + ${12} + ${13})); done; echo $t; }
cpu() { # per cent of a core over some seconds
    local a b hz; hz=$(getconf CLK_TCK); a=$(ticks); sleep "$1"; b=$(ticks)
    awk -v d=$((b - a)) -v hz="$hz" -v s="$1" 'BEGIN { printf "%.2f", 100 * d / hz / s }'
}
q "CREATE EXTENSION IF NOT EXISTS dbopt" 2>/dev/null
workers=$(q "SHOW dbopt.max_workers")
sleep 2
echo "idle: $(cpu "$seconds") % CPU of launcher and workers"

q "SELECT dbopt.job_add('bench_long_' || i, '1 second', 'SELECT pg_sleep(3600)')
   FROM generate_series(1, $workers + 2) i" >/dev/null
sleep 3
q "SELECT dbopt.job_add('bench_second', '1 second', 'SELECT 1')" >/dev/null
sleep "$seconds"
q "WITH r AS (SELECT started_at - lag(started_at) OVER (ORDER BY run_id) AS gap FROM dbopt.job_runs
              WHERE job = 'bench_second' ORDER BY run_id OFFSET 2)
   SELECT format('1-second job, %s of $workers slots busy: %s runs, gap median %s ms, max %s ms',
       (SELECT count(*) FROM dbopt.job_runs WHERE status = 'running' AND job LIKE 'bench_long%'), count(*),
       round(1000 * extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY gap)), 1),
       round(1000 * extract(epoch FROM max(gap)), 1)) FROM r"
q "SELECT dbopt.job_cancel(name), dbopt.job_remove(name) FROM dbopt.jobs WHERE name LIKE 'bench%'" >/dev/null
sleep 2

q "SELECT dbopt.job_add('bench_' || i, format('%s %s * * *', i % 60, i % 24), 'SELECT 1')
   FROM generate_series(1, 1000) i" >/dev/null
sleep 5
echo "1,000 daily jobs: $(cpu "$seconds") % CPU"
q "SELECT dbopt.job_alter(name, schedule => format('%s * * * *', substr(name, 7)::int % 60)) FROM dbopt.jobs WHERE name LIKE 'bench_%'" >/dev/null
sleep 5
echo "1,000 hourly jobs (17 runs a minute): $(cpu 60) % CPU"
q "SELECT dbopt.job_remove(name) FROM dbopt.jobs WHERE name LIKE 'bench%'" >/dev/null
