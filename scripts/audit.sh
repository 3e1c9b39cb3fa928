#!/bin/bash
# audit.sh: cargo-deny over the dependencies, by deny.toml. Builds cargo-deny if it is missing (about 5 minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/rust.sh
if ! command -v cargo-deny >/dev/null; then
  echo "audit: building cargo-deny, about 5 minutes" >&2
  cargo install --locked cargo-deny@0.20.2
fi
cargo deny --all-features --locked check bans licenses sources
# Apart, and last: the database of advisories is fetched from the internet, the rest is judged without it.
cargo deny --all-features --locked check advisories
