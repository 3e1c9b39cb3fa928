#!/bin/bash
# arrival.sh DIR: how soon a mail is found and known, beside scripts that wait for it. DIR holds a running mail stack.
#
# Starts a private API server and the optimised operator, and lets benches/arrival measure.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${CARGO_TARGET_DIR:-target}/release/mailverity
dir=$(mktemp -d "${TMPDIR:-/tmp}/mailverity-arrival.XXXXXX")
operator=''
finish() {
  local code=$?
  trap - EXIT INT TERM
  if [ -n "$operator" ]; then kill "$operator" 2>/dev/null || true; fi
  tests/controlplane/down.sh "$dir" || true
  if ((code != 0)) && [ -e "$dir/operator.log" ]; then tail -20 "$dir/operator.log" >&2; fi
  rm -rf "$dir"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tests/controlplane/up.sh "$dir" >/dev/null
KUBECONFIG=$dir/kubeconfig "$dir/kubectl" apply -f crds >/dev/null
KUBECONFIG=$dir/kubeconfig "$program" operator --operator-namespace default --deny-cidrs '' --allowed-ports 1-65535 \
  --max-messages-per-hour 10000 --max-messages-per-recipient-per-hour 10000 --metrics-address off --log-level warn \
  >"$dir/operator.log" 2>&1 &
operator=$!
MAILVERITY_BENCH_MAILSTACK=$1 MAILVERITY_BENCH_CONTROLPLANE=$dir cargo bench --locked --quiet --bench arrival
