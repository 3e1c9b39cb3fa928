#!/bin/bash
# static.sh TARGET PROGRAM...: builds programs (mailverity, kubectl-mail) statically, and prints the folder they are in.
#
# TARGET is one of Rust's musl targets. They need nothing of the machine that they run on: the kernel, and whatever /etc/resolv.conf
# and the CA bundle say. The same commit gives the same bytes, wherever it is built.
set -euo pipefail
cd "$(dirname "$0")/.."
triple=$1
shift
scripts/rust.sh
command -v musl-gcc >/dev/null || scripts/packages.sh "a static build" musl-tools >&2
rustup target list --installed | grep -x "$triple" >/dev/null || rustup target add "$triple" >&2

# Where the sources lay is in the words of a panic.
export RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$PWD=/mailverity"
# jemalloc ends at its start where the kernel's pages are larger than those it was built for. On arm64 they may have 16 KiB (Raspberry
# Pi 5) or 64 KiB (RHEL's kernel-64k), whatever the machine that builds has.
case $triple in aarch64-*) export JEMALLOC_SYS_WITH_LG_PAGE=16 ;; esac
bins=()
for program; do bins+=(--bin "$program"); done
cargo build --release --locked --target "$triple" "${bins[@]}" >&2
folder=${CARGO_TARGET_DIR:-target}/$triple/release

for program; do
  if readelf -l "$folder/$program" | grep INTERP >/dev/null; then
    echo "static: $folder/$program wants a loader of the machine's" >&2
    exit 1
  fi
  if grep -qaF -e "$PWD/src" -e "${CARGO_HOME:-$HOME/.cargo}/registry" "$folder/$program"; then
    echo "static: $folder/$program names folders of this machine" >&2
    exit 1
  fi
done
echo "$folder"
