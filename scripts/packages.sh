#!/bin/bash
# packages.sh WHO PACKAGE...: Debian packages, those that are missing. Installs them when root on Debian, else says which
# and fails. WHO needs them, for the message.
set -euo pipefail
who=$1
shift

missing=()
for package; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
((${#missing[@]})) || exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "$who: packages are missing; as root on Debian:  $install" >&2
  exit 1
fi
echo "$who: $install" >&2

log=$(mktemp)
policy=/usr/sbin/policy-rc.d made=
trap '[ -z "$made" ] || rm -f "$policy"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# A daemon must not start, and take a port, just because its package was installed.
if [ ! -e "$policy" ]; then
  made=1
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && $install -o Dpkg::Options::=--force-confold; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "$who: apt-get failed; all it said is in $log" >&2
  exit 1
fi
rm -f "$log"
