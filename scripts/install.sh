#!/bin/bash
# Puts the built programs and the library they need into a folder: `install.sh FOLDER`. A program that runs keeps its
# file: the new one is renamed into place.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
folder=${1:?usage: install.sh FOLDER}
mkdir -p "$folder"

put() {
    local to=$folder/${1##*/}
    cmp -s "$1" "$to" && return
    cp "$1" "$to.new"
    mv "$to.new" "$to"
}
for program in sent sent-cloud; do put "$CARGO_TARGET_DIR/release/$program"; done
put "$DUCKDB_LIB_DIR/libduckdb.so"
