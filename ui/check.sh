#!/bin/sh
# Lints and tests of the pages, compiled for this machine: they are no default member, because everything else that is built
# together with them would get their crates' features. Each face is linted; the tests are the same in both.
set -eu
cd "$(dirname "$0")/.."
CARGO_TARGET_DIR=$SENT_CACHE/target-wasm
export CARGO_TARGET_DIR
for features in '' fleet; do
    cargo clippy --quiet -p sent-ui --features "$features" --all-targets -- -D warnings
done
cargo nextest run --cargo-quiet -p sent-ui --status-level fail --final-status-level fail
