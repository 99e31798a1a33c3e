#!/bin/sh
# Inside a container the server listens on all addresses, and then it wants an admin token.  Takes the one of
# the environment; otherwise makes one for this run and prints it.  Keeps it where the health check finds it.
set -eu

if [ -z "${UNDERSTUDY_ADMIN_TOKEN:-}" ]; then
  UNDERSTUDY_ADMIN_TOKEN=$(python -c 'import secrets; print(secrets.token_urlsafe(24))')
  export UNDERSTUDY_ADMIN_TOKEN
  if [ "${1:-}" = serve ]; then
    echo "Admin token of this run: $UNDERSTUDY_ADMIN_TOKEN  (choose your own with UNDERSTUDY_ADMIN_TOKEN)" >&2
  fi
fi
(umask 077; printf '%s' "$UNDERSTUDY_ADMIN_TOKEN" >"${TMPDIR:-/tmp}/understudy-admin-token") 2>/dev/null || true
exec understudy "$@"
