#!/bin/sh
# Lints and tests of the pages, compiled for this machine: they are no default member, because everything else that is built
# together with them would get their crates' features.
set -eu
cd "$(dirname "$0")/.."
CARGO_TARGET_DIR=$SENT_CACHE/target-wasm
export CARGO_TARGET_DIR
cargo clippy --quiet -p sent-ui --all-targets -- -D warnings
cargo nextest run --cargo-quiet -p sent-ui --bin box --status-level fail --final-status-level fail
