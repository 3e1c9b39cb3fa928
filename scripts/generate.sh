#!/bin/bash
# generate.sh [DIR]: writes what is made from the code, crds/ and pages of docs/, into the repository or into DIR.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/rust.sh
out=${1:-.}
mkdir -p "$out/crds" "$out/docs"
cargo run --quiet --locked --bin mailverity -- crds --out "$out/crds"
cargo run --quiet --locked --bin mailverity -- docs --out "$out/docs"
