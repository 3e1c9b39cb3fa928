#!/bin/bash
# generate.sh [DIR]: writes what is made from the code and the charts into the repository or into DIR: crds/, pages of docs/, the
# chart of the CRDs, and what deploy/ has of the charts.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/rust.sh
out=${1:-.}
mkdir -p "$out/crds" "$out/docs"
cargo run --quiet --locked --bin mailverity -- crds --out "$out/crds"
cargo run --quiet --locked --bin mailverity -- docs --out "$out/docs"
scripts/values.sh "$out"
code=0
scripts/render.sh "$out" || code=$?
if ((code == 3)); then
  echo "generate: LEFT OUT: deploy/ is as it was, as there is no Go to build helm with" >&2
else
  exit "$code"
fi
