#!/usr/bin/env bash
# PostgreSQL, with what POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB say when its folder is new.
set -euo pipefail
export PGDATA=/var/lib/postgresql/data
if [ ! -e "$PGDATA/PG_VERSION" ]; then
  initdb --username "$POSTGRES_USER" --pwfile <(printf '%s' "$POSTGRES_PASSWORD") --auth scram-sha-256 --encoding UTF8 >/dev/null
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  pg_ctl --wait start --options "-c listen_addresses= -k /tmp" >/dev/null
  PGPASSWORD=$POSTGRES_PASSWORD createdb --host /tmp --username "$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl --wait stop >/dev/null
fi
exec postgres -c listen_addresses='*' -k /tmp "$@"
