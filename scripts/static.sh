#!/bin/bash
# static.sh [TARGET]: builds mailverity and kubectl-mail as static programs, and prints the folder they are in.
#
# TARGET is one of Rust's musl targets, that of this machine if left out. They need nothing of the machine that they run on: the
# kernel, and whatever /etc/resolv.conf and the CA bundle say. The same commit gives the same bytes, wherever it is built.
set -euo pipefail
cd "$(dirname "$0")/.."
triple=${1:-$(uname -m)-unknown-linux-musl}
scripts/rust.sh
command -v musl-gcc >/dev/null || scripts/packages.sh "a static build" musl-tools >&2
rustup target list --installed | grep -qx "$triple" || rustup target add "$triple" >&2

# Where the sources lay is in the words of a panic.
export RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$PWD=/mailverity"
cargo build --release --locked --target "$triple" --bins >&2
folder=${CARGO_TARGET_DIR:-target}/$triple/release

for program in mailverity kubectl-mail; do
  if readelf -l "$folder/$program" | grep -q INTERP; then
    echo "static: $folder/$program wants a loader of the machine's" >&2
    exit 1
  fi
  if grep -qaF -e "$PWD/src" -e "${CARGO_HOME:-$HOME/.cargo}/registry" "$folder/$program"; then
    echo "static: $folder/$program names folders of this machine" >&2
    exit 1
  fi
done
echo "$folder"
