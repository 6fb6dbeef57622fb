#!/bin/bash
# What `make run` does once the programs are built: everything on this machine, with a small office in it, until Ctrl-C.
#
# PostgreSQL, mosquitto, the cloud and the box keep their data, logs and ports in var/. Run again, they go on from there;
# `make clean-var` forgets it all. Arguments go to the program (`--var FOLDER`, `--once`).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
cd "$root"
export SENT_BIN=${SENT_BIN:-$root/bin}
exec "$CARGO_TARGET_DIR/release/sent-dev" "$@"
