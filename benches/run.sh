#!/bin/bash
# run.sh: what one check costs, beside a bare client, blackbox_exporter, openssl, swaks and Python's smtplib, as ratios.
#
# Then how soon a mail is found, and an answer told (arrival.sh), how many mails the receiver takes beside smtp-sink and
# aiosmtpd, and what a thousand idle MailServers cost (idle.sh). Starts a private mail stack, builds with optimisation,
# measures, ends the mail stack. Takes minutes; other work on the machine makes it coarse, so leave it alone meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}

scripts/rust.sh
scripts/packages.sh bench swaks libnet-ssleay-perl openssl prometheus-blackbox-exporter python3-minimal python3-aiosmtpd
tests/mailstack/install.sh
cargo bench --locked --benches --no-run

mkdir -p "$target"
dir=$(mktemp -d "$(cd "$target" && pwd)/bench.XXXXXX")
finish() {
  local code=$?
  trap - EXIT INT TERM
  tests/mailstack/down.sh "$dir" || true
  if ((code == 0)); then rm -rf "$dir"; else echo "bench: failed; the mail server's logs are in $dir" >&2; fi
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tests/mailstack/up.sh "$dir"
MAILVERITY_BENCH_MAILSTACK=$dir cargo bench --locked --quiet --bench check
cargo build --release --locked
benches/arrival.sh "$dir"
cargo bench --locked --quiet --bench receiver
benches/idle.sh "$dir"
