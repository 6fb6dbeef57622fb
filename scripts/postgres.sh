#!/bin/bash
# A PostgreSQL of our own for development and tests: `postgres.sh start|stop DIR PORT`.
#
# Everything it has lies in DIR: data/, log, and socket/ (none where the path is too long for a socket). It listens on
# 127.0.0.1:PORT and lets everybody on this machine in as `postgres`. It syncs to disk like a real one. Starting what
# runs and stopping what does not are fine; so is starting after `kill -9`.
#
# PostgreSQL refuses to run as root: then it runs as `postgres`, who owns DIR.
set -euo pipefail

usage() {
    echo "usage: postgres.sh start|stop DIR PORT" >&2
    exit 2
}
[ $# -ge 2 ] || usage
verb=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
port=${3:-}

bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
[ -n "$bin" ] || { echo "postgres: not installed: scripts/deps.sh installs it" >&2; exit 1; }

# Runs a command as whoever owns the data.
run() {
    (cd / && "${as[@]}" "$@")
}
as=()
if [ "$(id -u)" = 0 ]; then
    as=(setpriv --reuid=postgres --regid=postgres --init-groups)
    chown postgres: "$dir"
    # A folder below somebody's private one can't be reached by another user, except with this capability.
    if ! run test -w "$dir" 2>/dev/null; then
        as+=(--inh-caps=+dac_override --ambient-caps=+dac_override)
    fi
    export HOME=$dir
fi

# The postmaster's process, if it lives: one that nobody has waited for yet still has its number.
running() {
    local pid
    pid=$(head -n 1 "$dir/data/postmaster.pid" 2>/dev/null) && [ -n "$pid" ] &&
        [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$dir/data" ]
}

# Whether any process works in the data folder; each of PostgreSQL's does.
busy() {
    local cwd
    for cwd in /proc/[0-9]*/cwd; do
        [ "$(readlink "$cwd" 2>/dev/null)" != "$dir/data" ] || return 0
    done
    return 1
}

start() {
    [ -n "$port" ] || usage
    if [ ! -f "$dir/data/PG_VERSION" ]; then
        # Made beside and renamed, so that one that was interrupted is made again.
        rm -rf "$dir/data" "$dir/data.new"
        run "$bin/initdb" -D "$dir/data.new" -U postgres -A trust -E UTF8 --locale=C.UTF-8 >"$dir/initdb.log" 2>&1 ||
            { cat "$dir/initdb.log" >&2; exit 1; }
        mv "$dir/data.new" "$dir/data"
    fi
    if running; then
        return
    fi
    local socket=$dir/socket
    run mkdir -p -m 700 "$socket"
    # sockaddr_un holds 107 bytes.
    [ ${#socket} -le 85 ] || socket=
    local options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories='$socket' -c fsync=on"
    options+=" -c max_connections=200 -c log_min_messages=warning"
    # After `kill -9` the others need a moment to notice. PostgreSQL takes a dead postmaster that nobody has waited for
    # to be alive, by its number; when nobody works in the folder any more, its locks are stale.
    local attempt
    for attempt in {1..100}; do
        busy || break
        sleep 0.1
    done
    busy || rm -f "$dir/data/postmaster.pid" "$dir"/socket/.s.PGSQL.*
    for attempt in 1 2 3; do
        if run "$bin/pg_ctl" -D "$dir/data" -l "$dir/data/server.log" -o "$options" -w -t 60 start >/dev/null 2>&1; then
            return
        fi
        sleep 0.5
    done
    echo "postgres: did not start; the end of $dir/data/server.log:" >&2
    tail -n 20 "$dir/data/server.log" >&2
    exit 1
}

stop() {
    if [ -f "$dir/data/PG_VERSION" ] && running; then
        run "$bin/pg_ctl" -D "$dir/data" -m fast -w -t 60 stop >/dev/null
    fi
}

case $verb in
start) start ;;
stop) stop ;;
*) usage ;;
esac
