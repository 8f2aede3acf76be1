# Debian roots with other PostgreSQL versions, for scripts/test --matrix and scripts/matrix-shell.
# Source it after lib.sh. A root lives in a cache folder outside the checkout:
#   $DBOPT_CACHE (else $XDG_CACHE_HOME/dbopt-matrix, else /var/cache/dbopt-matrix)
#     17-KEY.tar.zst   the root as it was made (KEY: a checksum of suite and package list)
#     17-KEY/          unpacked, used by all runs

CACHE=${DBOPT_CACHE:-${XDG_CACHE_HOME:-/var/cache}/dbopt-matrix}

suite_of() { case $1 in 15) echo bookworm ;; 17) echo trixie ;; 18) echo forky ;; *) return 1 ;; esac; }

# The archive that this machine's own apt uses.
debian_mirror() {
    apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -E '/debian/?$' | head -1 | grep . ||
        sed -n 's/^URIs: *//p; s/^deb \(\[.*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list \
            /etc/apt/sources.list.d/* 2>/dev/null | grep -E '/debian/?$' | head -1
}

root_key() { echo "$1 $(suite_of "$1") $(packages_for "$1") $(test_packages_for "$1")" | sha256sum | cut -c1-12; }
root_path() { echo "$CACHE/$1-$(root_key "$1")"; }

# root_ready VERSION: makes or unpacks the root if needed. Safe to call from several runs at once.
root_ready() {
    local v=$1 r t lock
    r=$(root_path "$v"); t=$r.tar.zst
    as_root mkdir -p "$CACHE" || die "the matrix needs root (chroot) or sudo"
    [ -f "$r/.complete" ] && return 0
    (
        exec 8>"$CACHE/$v.lock"; flock 8
        [ -f "$r/.complete" ] && exit 0
        rm -rf "$r"
        find "$CACHE" -maxdepth 1 -name "$v-*" ! -name "$v-$(root_key "$v")*" -exec rm -rf {} +
        if [ -f "$t" ]; then
            say "unpacking the PostgreSQL $v root"
            mkdir -p "$r" && tar -C "$r" --zstd -xf "$t" && touch "$r/.complete" && exit 0
            rm -rf "$r"
        fi
        root_make "$v" "$r" && tar -C "$r" --zstd -cf "$t.part" . && mv "$t.part" "$t" &&
            touch "$r/.complete"
    ) || die "could not make the root for PostgreSQL $v (see $CACHE/$v.log)"
}

root_make() {
    local v=$1 r=$2 suite mirror log=$CACHE/$1.log
    suite=$(suite_of "$v") || die "no Debian release is known for PostgreSQL $v"
    need_packages debootstrap zstd
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || die "no Debian mirror in the configuration of apt"
    say "making a Debian $suite root with PostgreSQL $v in $CACHE (once, about two minutes)"
    # debootstrap may be older than the suite: trixie's script serves later ones, too.
    debootstrap --variant=minbase "$suite" "$r" "$mirror" trixie >"$log" 2>&1 || return 1
    # No cluster of its own and no service may start inside.
    printf '#!/bin/sh\nexit 101\n' >"$r/usr/sbin/policy-rc.d"; chmod 755 "$r/usr/sbin/policy-rc.d"
    mkdir -p "$r/etc/postgresql-common"
    echo 'create_main_cluster = false' >"$r/etc/postgresql-common/createcluster.conf"
    cp /etc/resolv.conf "$r/etc/resolv.conf" 2>/dev/null
    # A mirror that lags behind must not stop the tests: the signature is checked, the date is not.
    in_root "$r" "export DEBIAN_FRONTEND=noninteractive
        apt-get -o Acquire::Check-Valid-Until=false update -qq &&
        apt-get install -y -qq --no-install-recommends $(packages_for "$v") $(test_packages_for "$v") &&
        apt-get clean" >>"$log" 2>&1
}

# in_root ROOT COMMAND: a shell command inside, with /proc and a shared memory folder where the
# machine allows mounts. The mounts live in a namespace of their own and go away with the command.
in_root() {
    local r=$1; shift
    local env=(env -i HOME=/root TERM="${TERM:-dumb}" LC_ALL=C.UTF-8
               PATH=/usr/lib/ccache:/usr/sbin:/usr/bin:/sbin:/bin)
    if as_root unshare --mount true 2>/dev/null; then
        as_root unshare --mount sh -c 'r=$1; shift
            mount -t proc proc "$r/proc" 2>/dev/null
            mount -t tmpfs -o mode=1777 shm "$r/dev/shm" 2>/dev/null
            exec chroot "$r" "$@"' sh "$r" "${env[@]}" bash -c "$*"
    else
        as_root chroot "$r" "${env[@]}" bash -c "$*"
    fi
}
