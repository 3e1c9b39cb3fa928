#!/bin/bash
# down.sh DIR: ends the provider that up.sh DIR started, and keeps its log in DIR.
set -euo pipefail
[ -f "$1/home" ] || exit 0
dir=$(cd "$1" && pwd)
home=$(cat "$dir/home")
if [ -f "$home/pid" ]; then
  pid=$(cat "$home/pid")
  # A process id may have been given to a stranger since.
  if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = node ]; then kill "$pid" 2>/dev/null || true; fi
fi
case "$home" in
  /tmp/mailverity-identity.??????)
    cp -f "$home/provider.log" "$dir/" 2>/dev/null || true
    rm -rf "$home"
    ;;
esac
rm -f "$dir/home"
