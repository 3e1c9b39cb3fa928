#!/bin/bash
# down.sh DIR: ends the Postfix and Dovecot that up.sh DIR started, waits until they are gone, and keeps their logs in DIR.
set -euo pipefail
[ -f "$1/home" ] || exit 0
dir=$(cd "$1" && pwd)
home=$(cat "$dir/home")

masters=()
for file in "$home"/{postfix/spool/pid,dovecot/run}/master.pid; do
  [ -f "$file" ] || continue
  pid=$(tr -d ' ' <"$file")
  # A process id may have been given to a stranger since.
  case "$(cat "/proc/$pid/comm" 2>/dev/null)" in master | dovecot) masters+=("$pid") ;; esac
done
# Both at once: each takes its seconds to end its own children.
for pid in "${masters[@]}"; do kill "$pid" 2>/dev/null || true; done
for pid in "${masters[@]}"; do
  for i in {1..100}; do
    kill -0 "$pid" 2>/dev/null || break
    if ((i == 70)); then kill -KILL "$pid" 2>/dev/null || true; fi
    sleep 0.1
  done
done

case "$home" in
  /tmp/mailverity-mail.??????)
    cp -f "$home"/{dovecot/dovecot.log,postfix/maillog} "$dir/" 2>/dev/null || true
    rm -rf "$home"
    ;;
esac
rm -f "$dir/home"
