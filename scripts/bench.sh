#!/bin/bash
# What `make bench` does once the programs are built: `bench.sh [store|sync|fleet|capital|watch|box|pages|guard|radar]…`,
# default all.
#
# Each figure is a line of target/bench.jsonl; the table at the end shows those of this run. A goal that is missed is no
# failure: the table says so.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
cd "$root"
mkdir -p target
export BENCH_OUT=$root/target/bench.jsonl SENT_BIN=${SENT_BIN:-$root/bin}
rooms=("$@")
[ $# -gt 0 ] || rooms=(store sync fleet capital watch box pages guard radar)

bench=$CARGO_TARGET_DIR/release/sent-bench
touch "$BENCH_OUT"
before=$(wc -l <"$BENCH_OUT")
for room in "${rooms[@]}"; do
    echo "── $room"
    if [ "$room" = store ]; then
        cargo build --quiet --release --example bench_write --example bench_series
        for example in bench_write bench_series; do "$CARGO_TARGET_DIR/release/examples/$example"; done
    elif [ "$room" = guard ]; then
        cargo bench --quiet --bench ndpi
    elif [ "$room" = radar ]; then
        cargo bench --quiet --bench lanes --bench intake
    else
        "$bench" "$room"
    fi
done
echo
"$bench" table --after "$before"
