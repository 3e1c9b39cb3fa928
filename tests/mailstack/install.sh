#!/bin/bash
# install.sh: the packages of the mail stack, if one is missing. Installs them when root on Debian, else says which.
set -euo pipefail
packages=(postfix dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-sieve winbind openssl)

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
((${#missing[@]})) || exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "mailstack: packages are missing; as root on Debian:  $install" >&2
  exit 1
fi
echo "mailstack: $install" >&2

# The stack starts its own instances: the system's must not start, and take port 25, just because they are installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update && $install -o Dpkg::Options::=--force-confold; } >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "mailstack: apt-get failed; the whole log is $log" >&2
  exit 1
fi
rm -f "$log"
