#!/bin/sh
# Writes the exposition for node_exporter's textfile collector; from cron or a systemd timer, as a role with pg_monitor.
#   textfile.sh /var/lib/prometheus/node-exporter/dbopt.prom [psql options]
set -eu
file=$1; shift
tmp=$(mktemp "$file.XXXXXX")
trap 'rm -f "$tmp"' EXIT
psql -XAtq -v ON_ERROR_STOP=1 -c 'SELECT dbopt.prometheus()' "$@" >"$tmp"
chmod 644 "$tmp"
mv "$tmp" "$file"
trap - EXIT
