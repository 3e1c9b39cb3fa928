#!/bin/bash
# rust.sh: makes sure that cargo, a C compiler and make are there; the toolchain itself is pinned in rust-toolchain.toml.
set -euo pipefail
if ! command -v cargo >/dev/null; then
  echo "cargo is missing:  curl -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal && . ~/.cargo/env" >&2
  exit 1
fi
{ command -v cc && command -v make; } >/dev/null || "$(dirname "$0")/packages.sh" "the Rust build" gcc libc6-dev make
