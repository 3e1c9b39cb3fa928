#!/bin/bash
# audit.sh: cargo-deny over the dependencies, by deny.toml. Builds cargo-deny if it is missing (about 5 minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/rust.sh
if ! command -v cargo-deny >/dev/null; then
  echo "audit: building cargo-deny, about 5 minutes" >&2
  cargo install --locked cargo-deny
fi
cargo deny --all-features --locked check
