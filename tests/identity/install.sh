#!/bin/bash
# install.sh: the modules of the OpenID provider, as package-lock.json names them, in the cache; prints where they are. Brings
# Debian's node and npm as far as they are missing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
command -v node >/dev/null && command -v npm >/dev/null || "$here/../../scripts/packages.sh" identity nodejs npm openssl >&2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mailverity/identity
lock=$(sha256sum "$here/package-lock.json" | cut -c1-16)
if [ ! -f "$cache/$lock/ready" ]; then
  mkdir -p "$cache"
  fresh=$(mktemp -d "$cache/fresh.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  cp "$here"/package{,-lock}.json "$fresh/"
  (cd "$fresh" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) >&2
  touch "$fresh/ready"
  # Another run may have been quicker.
  mv -T "$fresh" "$cache/$lock" 2>/dev/null || [ -f "$cache/$lock/ready" ]
fi
echo "$cache/$lock/node_modules"
