#!/bin/sh
# Checks every query of the cloud against a real schema and writes what it found to .sqlx, which builds without a
# database read. Run it after each change of a query or a migration, and commit .sqlx.
#
# Starts a PostgreSQL of its own in a temporary folder and removes it again. Needs Debian's postgresql-15.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${PG_BIN:-/usr/lib/postgresql/15/bin}
folder=$(mktemp -d /tmp/sent-prepare.XXXXXX)
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')

# PostgreSQL refuses to run as root.
if [ "$(id -u)" = 0 ]; then
    chown postgres "$folder"
    as() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
else
    as() { "$@"; }
fi
trap 'as "$bin/pg_ctl" -D "$folder/data" -m immediate -s stop || true; rm -rf "$folder"' EXIT
cd "$folder"
as "$bin/initdb" -D "$folder/data" -A trust -U postgres --no-sync >/dev/null
as "$bin/pg_ctl" -D "$folder/data" -s -w -l "$folder/log" \
    -o "-p $port -k $folder -c listen_addresses=127.0.0.1 -c fsync=off" start
url="postgres://postgres@127.0.0.1:$port"
psql -q "$url/postgres" -c 'CREATE DATABASE sent'
for file in "$root"/migrations/cloud/0*.sql; do
    case $file in *.timescale.sql) continue ;; esac
    psql -q -1 -v ON_ERROR_STOP=1 "$url/sent" -f "$file" >/dev/null
done

# Into another folder first: builds that run meanwhile, or after a query that is wrong, still find the old one.
cd "$root"
mkdir -p "$root/.sqlx" "$folder/sqlx"
# The macros run only when the crate is compiled again.
touch cloud-sync/server/src/lib.rs cloud-sync/server/src/main.rs
DATABASE_URL="$url/sent" SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$folder/sqlx" cargo check -q -p sent-cloud
rm -rf "$root/.sqlx"
cp -r "$folder/sqlx" "$root/.sqlx"
echo "$(ls "$root/.sqlx" | wc -l) queries are checked"
