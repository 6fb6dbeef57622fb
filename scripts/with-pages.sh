#!/bin/bash
# with-pages.sh COMMAND…: builds the pages while the command runs, which is a build of programs. The pages are compiled on
# one core for minutes; the crate that holds them waits for the lock, which is taken before the command starts. A build
# that had looked at older pages before these were there is run again.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/scripts/env.sh"
ui=$SENT_CACHE/ui
mkdir -p "$ui"
exec 9>"$ui/lock"
flock 9
before=$(cat "$ui/stamp" 2>/dev/null || true)
SENT_UI_LOCKED=1 "$root/ui/build.sh" &
pages=$!
exec 9>&-
"$@" &
command=$!
failed=0
wait "$pages" || failed=$?
wait "$command" || failed=$?
[ "$failed" = 0 ] || exit "$failed"
[ "$before" = "$(cat "$ui/stamp")" ] || exec "$@"
