# Shared by scripts/test, scripts/demo and scripts/matrix-shell: packages, a private copy of the
# PostgreSQL installation, private clusters, cleanup. Source it from bash; it needs Debian or a relative.
#
#   . "$(dirname "$0")/lib.sh"
#   work_dir demo                   # $WORK: a fresh folder below /tmp, removed at exit (KEEP=1 keeps it)
#   need_packages                   # apt: only what is missing
#   private_install                 # $PGBIN, $PG_CONFIG: a copy of the server, `make install` stays in it
#   build_dbopt                     # $TREE: a copy of the sources, built and installed into the copy
#   cluster_start main "shared_preload_libraries='dbopt'" "work_mem='16MB'"
#   psql -d postgres -c 'CREATE EXTENSION dbopt'       # PGHOST, PGPORT and PGUSER point to the cluster
#   cluster_stop main               # also done at exit
#
# Nothing of the host's clusters is touched: own data folder, own socket folder, no TCP.

set -u -o pipefail
SOURCE_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SERVER_USER=$([ "$(id -u)" = 0 ] && echo postgres || id -un)   # the server refuses to run as root
CLUSTERS=()
WORK=
export LC_ALL=C.UTF-8 PSQLRC=/dev/null PGAPPNAME=dbopt_scripts
unset PGSERVICE PGHOSTADDR PGSSLMODE PGOPTIONS PGPASSFILE PGDATA
[ -d /usr/lib/ccache ] && PATH=/usr/lib/ccache:$PATH
# The tree is built in a fresh folder each time; let ccache recognise it all the same.
export CCACHE_NOHASHDIR=1

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# --- packages ---------------------------------------------------------------------------------

# The major version to use: PG_VERSION, else an installed server with its headers, else the newest
# that apt offers.
pg_version() {
    local v
    [ -n "${PG_VERSION:-}" ] && { echo "$PG_VERSION"; return; }
    for v in 18 17 16 15; do
        [ -x /usr/lib/postgresql/$v/bin/postgres ] && [ -x /usr/lib/postgresql/$v/bin/pg_config ] &&
            { echo $v; return; }
    done
    for v in 18 17 16 15; do
        apt-cache show postgresql-server-dev-$v >/dev/null 2>&1 && { echo $v; return; }
    done
    return 1
}

# What building, running and testing dbopt takes on Debian.
packages_for() {
    local v=$1
    echo make g++ libboost-dev libpq-dev postgresql-$v postgresql-client-$v \
         postgresql-server-dev-$v
}
test_packages_for() {
    local v=$1
    echo cmake libgtest-dev libipc-run-perl libtap-parser-sourcehandler-pgtap-perl \
         postgresql-$v-pgtap postgresql-$v-cron postgresql-$v-partman postgresql-$v-hypopg pgbouncer \
         python3 ccache
}

# For tests that run on the machine itself, not in the roots of the matrix; what apt does not know is
# left out, and its tests are skipped.
host_test_packages() {
    local p
    for p in prometheus prometheus-sql-exporter prometheus-postgres-exporter; do
        apt-cache show "$p" >/dev/null 2>&1 && echo "$p"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else return 126; fi
}

# need_packages [PACKAGE ...]: installs the missing ones of packages_for and of the arguments.
need_packages() {
    command -v apt-get >/dev/null || die "apt-get not found: install PostgreSQL with headers, g++, make and Boost, and set PG_CONFIG"
    local missing=() p
    PG_VERSION=$(pg_version) || { as_root apt-get update -qq >&2; PG_VERSION=$(pg_version); } ||
        die "apt knows no PostgreSQL 15 to 18"
    for p in $(packages_for "$PG_VERSION") "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
    done
    [ ${#missing[@]} = 0 ] && return
    say "installing: ${missing[*]}"
    local log; log=$(mktemp)
    as_root sh -c 'export DEBIAN_FRONTEND=noninteractive
        apt-get install -y -qq --no-install-recommends "$@" ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; }' \
        sh "${missing[@]}" >"$log" 2>&1
    local rc=$?
    [ $rc = 126 ] && die "not root and no sudo; please install: ${missing[*]}"
    [ $rc = 0 ] || { tail -20 "$log" >&2; die "apt-get could not install: ${missing[*]}"; }
    rm -f "$log"
}

# --- work folder and cleanup --------------------------------------------------------------------

# work_dir NAME: makes $WORK. Short, because a socket's path may have 107 bytes.
work_dir() {
    WORK=$(mktemp -d "/tmp/dbopt-$1.XXXXXX") || die "no temporary folder"
    chmod 755 "$WORK"
    export CCACHE_BASEDIR=$WORK
    trap cleanup EXIT
    trap 'exit 130' INT TERM HUP
}

cleanup() {
    local rc=$? c
    trap - EXIT
    [ "${KEEP:-0}" = 1 ] && exit $rc
    for c in "${CLUSTERS[@]:-}"; do [ -n "$c" ] && cluster_stop "$c" immediate; done
    [ -n "$WORK" ] && rm -rf "$WORK"
    exit $rc
}

# Runs a command as the server's user: postgres when we are root, else ourselves.
as_server() {
    if [ "$(id -un)" = "$SERVER_USER" ]; then "$@"; else runuser -u "$SERVER_USER" -- "$@"; fi
}

# --- the private copy of the server ---------------------------------------------------------------

# Hard links cost no space and no time; `make install` replaces files, it never writes into them.
link_tree() {
    mkdir -p "$(dirname "$2")"
    cp -al "$1" "$2" 2>/dev/null || { rm -rf "$2"; cp -a "$1" "$2"; }
}

# PostgreSQL finds its folders relative to its programs, so that a copy of the tree is an installation.
private_install() {
    local v=${PG_VERSION:-$(pg_version)} r=$WORK/pg multi
    PG_VERSION=$v
    [ -x /usr/lib/postgresql/$v/bin/postgres ] || die "no PostgreSQL $v in /usr/lib/postgresql"
    link_tree /usr/lib/postgresql/$v $r/usr/lib/postgresql/$v
    link_tree /usr/share/postgresql/$v $r/usr/share/postgresql/$v
    mkdir -p $r/usr/include
    ln -sfn /usr/include/postgresql $r/usr/include/postgresql
    multi=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch)
    ln -sfn /usr/lib/$multi $r/usr/lib/$multi
    export PGBIN=$r/usr/lib/postgresql/$v/bin
    export PG_CONFIG=$PGBIN/pg_config PATH=$PGBIN:$PATH
}

# Copies the sources (not the build products) into $TREE and builds and installs them there.
copy_tree() {
    TREE=$WORK/tree
    mkdir -p "$TREE"
    tar -C "$SOURCE_DIR" --exclude=.git --exclude='*.o' --exclude='*.d' --exclude='*.so' --exclude='*.bc' \
        --exclude=./build --exclude=tmp_check --exclude=results --exclude=output_iso -cf - . |
        tar -C "$TREE" -xf - --no-same-owner
}
build_dbopt() {
    [ -n "${TREE:-}" ] && [ -d "$TREE" ] || copy_tree
    # Compiled with the original installation's paths, so that ccache knows them from other builds on
    # this machine; installed into the copy.
    make -s -C "$TREE" -j"$(nproc)" PG_CONFIG=/usr/lib/postgresql/$PG_VERSION/bin/pg_config \
        >"$WORK/build.log" 2>&1 &&
        make -s -C "$TREE" install PG_CONFIG="$PG_CONFIG" >>"$WORK/build.log" 2>&1 ||
        { tail -40 "$WORK/build.log" >&2; die "the build failed"; }
}

# --- private clusters -----------------------------------------------------------------------------

cluster_dir() { echo "$WORK/$1"; }

# cluster_start NAME [CONFIGURATION LINE ...]: initdb on first use, start, and point psql to it.
# The port is only a part of the socket's name in a folder of its own: nothing can collide.
cluster_start() {
    local name=$1 d s; shift
    d=$(cluster_dir "$name"); s=$WORK/s-$name
    if [ ! -d "$d" ]; then
        mkdir -p "$d" "$s"; chmod 700 "$d"
        [ "$(id -u)" = 0 ] && chown "$SERVER_USER:" "$d" "$s"
        as_server "$PGBIN/initdb" -D "$d" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
            >"$WORK/initdb-$name.log" 2>&1 || { cat "$WORK/initdb-$name.log" >&2; die "initdb failed"; }
        { echo "listen_addresses = ''"; echo "unix_socket_directories = '$s'"; echo "port = 5432"; } \
            >>"$d/postgresql.conf"
    fi
    [ $# -gt 0 ] && printf '%s\n' "$@" >>"$d/postgresql.conf"
    # Not with the caller's standard output: the server would keep a pipe open for ever.
    as_server "$PGBIN/pg_ctl" -D "$d" -l "$d/log" -w -t 60 start >/dev/null 2>&1 </dev/null ||
        { tail -20 "$d/log" >&2; die "cluster $name did not start"; }
    CLUSTERS+=("$name")
    cluster_use "$name"
}

# cluster_use NAME: psql, pgbench and the rest connect to this cluster from now on.
cluster_use() { export PGHOST=$WORK/s-$1 PGPORT=5432 PGUSER=postgres PGDATABASE=postgres; }

cluster_log() { echo "$(cluster_dir "$1")/log"; }

cluster_stop() { # NAME [fast|immediate]
    local d; d=$(cluster_dir "$1")
    [ -f "$d/postmaster.pid" ] || return 0
    as_server "$PGBIN/pg_ctl" -D "$d" -m "${2:-fast}" -w stop >/dev/null 2>&1
}

cluster_restart() { cluster_stop "$1" fast; cluster_start "$1"; }
