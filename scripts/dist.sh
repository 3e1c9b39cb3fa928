#!/bin/bash
# dist.sh: all that a release consists of, in target/dist, for one Rust target (TARGET, that of this machine if unset): an archive of
# each program, what is in them (SBOM), the image, the charts, the manifests, the manifest for krew, and the checksums of them all.
#
# The same commit gives the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
triple=${TARGET:-$(uname -m)-unknown-linux-musl}
export TARGET=$triple
programs=$(scripts/static.sh "$triple" mailverity kubectl-mail)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
case $triple in x86_64-*) platform=linux-amd64 ;; aarch64-*) platform=linux-arm64 ;; *) platform=$triple ;; esac
# Not exported: what is built from C would be built again because of it.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
out=${CARGO_TARGET_DIR:-target}/dist
rm -rf "$out"
mkdir -p "$out"

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# A folder as a .tar.gz that nobody's clock or user is in.
pack() { # folder part file
  tar --sort=name --format=ustar --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=go-w,a+rX -C "$1" -cf - "$2" | gzip -9n >"$3"
}
for program in mailverity kubectl-mail; do
  name=$program-$version-$platform
  mkdir "$made/$program"
  install -m 755 "$programs/$program" "$made/$program/"
  install -m 644 LICENSE "$made/$program/"
  # Flat, as krew wants it.
  pack "$made/$program" . "$out/$name.tar.gz"
  scripts/sbom.sh "$triple" "$program" >"$out/$name.cdx.json"
done
scripts/image.sh
cp "${CARGO_TARGET_DIR:-target}/image/mailverity.tar" "$out/mailverity-image-$version-$platform.tar"

cp deploy/install.yaml "$out/install.yaml"
charts=$(tests/chart/build.sh)
for chart in mailverity-crds mailverity; do
  "$charts/helm" package "charts/$chart" --destination "$made" >/dev/null
  mkdir "$made/$chart-chart"
  tar -C "$made/$chart-chart" -xzf "$made/$chart-$version.tgz"
  pack "$made/$chart-chart" "$chart" "$out/$chart-$version.tgz"
done
scripts/krew.sh "$version" "$out" >"$out/mail.yaml"
(cd "$out" && sha256sum -- * >SHA256SUMS)
ls -l "$out"
