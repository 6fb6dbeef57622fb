# Where things lie. Sourced by the Makefile and by whoever calls cargo by hand: `. scripts/env.sh`

export SENT_CACHE="${SENT_CACHE:-$HOME/.cache/sent}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$SENT_CACHE/target}"
export DUCKDB_LIB_DIR="${DUCKDB_LIB_DIR:-$SENT_CACHE/lib}"
# Queries are checked against the committed metadata, not against a database.
export SQLX_OFFLINE="${SQLX_OFFLINE:-true}"

case ":${LD_LIBRARY_PATH:-}:" in
*":$DUCKDB_LIB_DIR:"*) ;;
*) export LD_LIBRARY_PATH="$DUCKDB_LIB_DIR${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" ;;
esac
case ":$PATH:" in
*":$SENT_CACHE/tools/bin:"*) ;;
*) export PATH="$PATH:$SENT_CACHE/tools/bin" ;;
esac
