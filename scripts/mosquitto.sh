#!/bin/bash
# An MQTT broker of our own for development and tests: `mosquitto.sh start DIR PORT CA CERT KEY`, `mosquitto.sh stop DIR`.
#
# It listens on 127.0.0.1:PORT by mutual TLS only: clients show a certificate by the CA (a PEM file), whose common name
# is their user name. A box writes its own presence and live view and reads its own doorbell; the user `cloud` may do
# everything. Nothing that matters is kept here, so nothing is: retained messages end with the process.
#
# Starting what runs and stopping what does not are fine; so is starting after `kill -9`.
set -euo pipefail

usage() {
    echo "usage: mosquitto.sh start DIR PORT CA CERT KEY | mosquitto.sh stop DIR" >&2
    exit 2
}
[ $# -ge 2 ] || usage
verb=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)

program=$(command -v mosquitto || echo /usr/sbin/mosquitto)
[ -x "$program" ] || { echo "mosquitto: not installed: scripts/deps.sh installs it" >&2; exit 1; }

# The process that runs, if one does: a number that another program has got meanwhile is not ours.
running() {
    pid=$(cat "$dir/pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = mosquitto ] &&
        tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF "$dir/mosquitto.conf"
}

start() {
    [ $# -eq 4 ] || usage
    if running; then
        return
    fi
    local port=$1 ca cert key
    ca=$(realpath "$2")
    cert=$(realpath "$3")
    key=$(realpath "$4")
    cat >"$dir/acl" <<ACL
pattern write sent/%u/presence
pattern write sent/%u/live
pattern read sent/%u/doorbell
user cloud
topic readwrite #
ACL
    cat >"$dir/mosquitto.conf" <<CONF
user $(id -un)
pid_file $dir/pid
log_dest file $dir/log
log_type error
log_type warning
log_type notice
persistence false
acl_file $dir/acl
listener $port 127.0.0.1
cafile $ca
certfile $cert
keyfile $key
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
max_connections -1
max_packet_size 65536
CONF
    rm -f "$dir/pid"
    "$program" -d -c "$dir/mosquitto.conf" >"$dir/start.log" 2>&1 || true
    local attempt
    for attempt in {1..100}; do
        if running && (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            return
        fi
        sleep 0.1
    done
    echo "mosquitto: did not start:" >&2
    cat "$dir/start.log" >&2
    tail -n 5 "$dir/log" >&2 || true
    exit 1
}

stop() {
    running || return 0
    kill "$pid"
    local attempt
    for attempt in {1..100}; do
        running || { rm -f "$dir/pid"; return 0; }
        sleep 0.1
    done
    kill -9 "$pid"
}

shift 2
case $verb in
start) start "$@" ;;
stop) stop ;;
*) usage ;;
esac
