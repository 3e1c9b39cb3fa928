#!/bin/bash
# arrival.sh DIR: how soon a mail is found and known, beside scripts that wait for it, and how soon an answer that a receiver took.
# DIR holds a running mail stack.
#
# Starts a private API server, the optimised operator and two receivers, and lets benches/arrival measure. The second receiver
# works for policies that the operator does not look after: what it puts down stays there to be counted.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${CARGO_TARGET_DIR:-target}/release/mailverity
dir=$(mktemp -d "${TMPDIR:-/tmp}/mailverity-arrival.XXXXXX")
started=()
finish() {
  local code=$?
  trap - EXIT INT TERM
  for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
  tests/controlplane/down.sh "$dir" || true
  if ((code != 0)); then tail -n 20 "$dir"/*.log >&2 || true; fi
  rm -rf "$dir"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# shellcheck source=tests/ports.sh
. tests/ports.sh

tests/controlplane/up.sh "$dir" >/dev/null
export KUBECONFIG=$dir/kubeconfig
"$dir/kubectl" apply -f crds >/dev/null
for namespace in replies flood flood-replies; do "$dir/kubectl" create namespace "$namespace" >/dev/null; done
# start NAME ARGUMENT...: a program of ours, with its log
start() {
  local name=$1 && shift
  POD_NAME=$name "$program" "$@" --metrics-address off --log-level warn >"$dir/$name.log" 2>&1 &
  started+=($!)
}
read -r receiver flooded <<<"$(free_ports 2)"
start operator operator --namespaces default --operator-namespace default --receiver-namespace replies --deny-cidrs '' \
  --allowed-ports 1-65535 --max-messages-per-hour 10000 --max-messages-per-recipient-per-hour 10000
start receiver receiver --listen "127.0.0.1:$receiver" --namespaces default --receiver-namespace replies --operator-namespace default
start flooded receiver --listen "127.0.0.1:$flooded" --namespaces flood --receiver-namespace flood-replies --operator-namespace default
export MAILVERITY_BENCH_MAILSTACK=$1 MAILVERITY_BENCH_CONTROLPLANE=$dir
MAILVERITY_BENCH_RECEIVER=$receiver MAILVERITY_BENCH_FLOODED=$flooded cargo bench --locked --quiet --bench arrival
