#!/bin/bash
# Brings what building, running and testing need, and only what is missing: Debian packages (by sudo when not root),
# libduckdb.so, the wasm target, cargo-nextest, npm packages of the tests. Says nothing when all is there.
#
#   --arm64    also libduckdb.so for ARM boxes, into $SENT_CACHE/lib-arm64
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"

# The DuckDB that the crate in Cargo.toml was made for, or the nearest that is published for ARM; it is taken out of
# DuckDB's own npm package.
duckdb_x64=1.5.6-r.1
duckdb_arm64=1.5.5-r.5

fail() {
    echo "deps: $1" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        sudo "$@"
    else
        fail "no root here, and no sudo without a password. Please run: sudo apt-get install $packages"
    fi
}

install_packages() {
    packages=$*
    command -v apt-get >/dev/null || fail "please install what Debian calls: $packages"
    echo "deps: installing $packages"
    as_root apt-get -qq update >/dev/null || echo "deps: apt-get update failed; trying with the lists there are" >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" >/dev/null ||
        fail "apt-get could not install: $packages"
}

missing=()
# A command, and the package that brings it.
need() {
    command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || missing+=("$2")
}
need cc build-essential
need pkg-config pkg-config
need curl curl
need flock util-linux
need setpriv util-linux
need ps procps
need jq jq
need brotli brotli
need ip iproute2
need node nodejs
need npm npm
need mosquitto mosquitto
need hledger hledger
need ndpiReader libndpi-bin
need snmpd snmpd
need snmpget snmp
need tcpreplay tcpreplay
need tshark tshark
need rsyslogd rsyslog
compgen -G '/usr/lib/*/rsyslog/lmnsd_ossl.so' >/dev/null || missing+=(rsyslog-openssl)
need chromium chromium
need pdftotext poppler-utils
need chromedriver chromium-driver
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
# SQLite's preupdate hook is bound by bindgen at build time.
compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null || missing+=(libclang-dev)
# The face reports are set in.
[ -f /usr/share/fonts/opentype/inter/Inter-Regular.otf ] || missing+=(fonts-inter)
# Packets are captured with libpcap; IEEE's registers name the makers of devices.
compgen -G '/usr/include/pcap/pcap.h' >/dev/null || missing+=(libpcap-dev)
[ -f /usr/share/ieee-data/oui.csv ] || missing+=(ieee-data)
compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || missing+=(libfaketime)
if [ ${#missing[@]} -gt 0 ]; then
    install_packages "${missing[@]}"
fi

command -v cargo >/dev/null || fail "cargo is missing: install Rust from https://rustup.rs, then try again"

# duckdb_library ARCHITECTURE VERSION FOLDER
duckdb_library() {
    local stamp=$3/libduckdb.version
    if [ -f "$3/libduckdb.so" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$2" ]; then
        return
    fi
    echo "deps: fetching libduckdb.so $2 for $1"
    mkdir -p "$3"
    local work
    work=$(mktemp -d "$3/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && npm pack --loglevel=error "@duckdb/node-bindings-linux-$1@$2" >/dev/null) ||
        fail "npm could not fetch @duckdb/node-bindings-linux-$1@$2"
    tar -xzf "$work"/*.tgz -C "$work" package/libduckdb.so
    # An unchanged file stays, so that nothing is linked again.
    cmp -s "$work/package/libduckdb.so" "$3/libduckdb.so" || mv "$work/package/libduckdb.so" "$3/libduckdb.so"
    echo "$2" >"$stamp"
    rm -rf "$work"
    trap - EXIT
}
case $(uname -m) in
x86_64) duckdb_library x64 "$duckdb_x64" "$DUCKDB_LIB_DIR" ;;
aarch64) duckdb_library arm64 "$duckdb_arm64" "$DUCKDB_LIB_DIR" ;;
*) fail "no DuckDB library is published for $(uname -m)" ;;
esac
if [ "${1:-}" = --arm64 ]; then
    duckdb_library arm64 "$duckdb_arm64" "$SENT_CACHE/lib-arm64"
fi

# The pages: rustup's target, or else Debian's compiler, with which ui/build.sh knows its way.
if ! { rustup target list --installed 2>/dev/null | grep -qx wasm32-unknown-unknown; } &&
    ! [ -x /usr/bin/wasm-ld-19 ]; then
    echo "deps: adding the wasm target"
    rustup target add wasm32-unknown-unknown >/dev/null 2>&1 ||
        install_packages rustc-web cargo-web rust-web-src lld-19
fi

if ! cargo nextest --version >/dev/null 2>&1; then
    echo "deps: building cargo-nextest"
    CARGO_TARGET_DIR=$SENT_CACHE/target-tools cargo install --quiet --locked --root "$SENT_CACHE/tools" cargo-nextest ||
        fail "cargo-nextest could not be built"
fi

# npm packages of the tests, exactly those of the lock files.
for lock in "$root"/tests/*/package-lock.json; do
    [ -f "$lock" ] || continue
    folder=$(dirname "$lock")
    if ! cmp -s "$lock" "$folder/node_modules/.installed-lock.json"; then
        (cd "$folder" && npm ci --silent --no-audit --no-fund) || fail "npm ci failed in $folder"
        cp "$lock" "$folder/node_modules/.installed-lock.json"
    fi
done
