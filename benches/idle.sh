#!/bin/bash
# idle.sh DIR: what a thousand MailServers cost an operator that has nothing to do. DIR holds a running mail stack.
#
# Starts a private API server and the optimised operator, lets it check them all once, and prints what it then holds in memory
# and uses of a processor in half a minute; then the same of an operator that found them checked.
set -euo pipefail
cd "$(dirname "$0")/.."
count=${COUNT:-1000}
program=${CARGO_TARGET_DIR:-target}/release/mailverity
mail=$1
dir=$(mktemp -d "${TMPDIR:-/tmp}/mailverity-idle.XXXXXX")
operator=''
finish() {
  local code=$?
  trap - EXIT INT TERM
  if [ -n "$operator" ]; then kill "$operator" 2>/dev/null || true; fi
  tests/controlplane/down.sh "$dir" || true
  rm -rf "$dir"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tests/controlplane/up.sh "$dir" >/dev/null
export KUBECONFIG=$dir/kubeconfig
value() { sed -n "s/^$1=//p" "$mail/env"; }
kubectl() { "$dir/kubectl" "$@"; }

kubectl apply -f crds >/dev/null
until kubectl get mailservers >/dev/null 2>&1; do
  if ((SECONDS > 30)); then echo "idle: the API server does not know MailServers" >&2 && exit 1; fi
  sleep 0.1
done
kubectl create configmap ca --from-file "ca.crt=$(value CA_FILE)" >/dev/null
kubectl create secret generic account --from-literal username=probe@example.test --from-literal password=probe-secret >/dev/null
for ((number = 0; number < count; number++)); do
  printf '{"apiVersion":"mailverity.dev/v1alpha1","kind":"MailServer","metadata":{"name":"relay-%s"},"spec":{"host":"localhost","port":%s,"tls":{"caRef":{"name":"ca"}},"auth":{"type":"Password","secretRef":{"name":"account"}},"limits":{"connections":64}}}\n' \
    "$number" "$(value SUBMISSION_PORT)"
done >"$dir/servers.json"

metrics=127.0.0.1:$((RANDOM % 10000 + 20000))
operate() {
  "$program" operator --operator-namespace default --deny-cidrs '' --allowed-ports 1-65535 --max-checks-per-host 64 \
    --metrics-address "$metrics" --log-level error >"$dir/operator.log" 2>&1 &
  operator=$!
}
ready() {
  exec 3<>"/dev/tcp/${metrics%:*}/${metrics#*:}" || return 1
  printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
  grep -c '^mailverity_condition{.*type="Ready".*status="True".* 1$' <&3
}
all_ready() {
  local begun=$SECONDS
  until [ "$(ready 2>/dev/null)" = "$count" ]; do
    if ((SECONDS - begun > 600)); then echo "idle: only $(ready) of $count are ready" >&2 && exit 1; fi
    sleep 1
  done
}
ticks() { awk '{ print $14 + $15 }' "/proc/$operator/stat"; }
cost() { # of which operator
  local before after
  sleep 5
  before=$(ticks)
  sleep 30
  after=$(ticks)
  awk -v count="$count" -v ticks="$((after - before))" -v hertz="$(getconf CLK_TCK)" -v which="$1" \
    '/^VmRSS:/ { printf "%d idle MailServers, %s: %.1f MiB resident (goal: under 25 for 1,000), %.2f ms CPU a second\n", count, which, $2 / 1024, ticks * 1000 / hertz / 30 }' "/proc/$operator/status"
}

operate
begun=$SECONDS
kubectl create -f "$dir/servers.json" >/dev/null
all_ready
echo "$count MailServers created and checked in $((SECONDS - begun)) s"
cost "the operator that checked them"
kill "$operator"
wait "$operator" || true
operate
all_ready
cost "one that began later"
