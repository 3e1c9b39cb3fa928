#!/bin/bash
# image.sh: target/image/root, which the Containerfile copies, and target/image/mailverity.tar, the image made of it without a
# builder: `ctr images import`, `podman load`, `docker load` and `skopeo copy oci-archive:` take it.
#
# The same commit and the same ca-certificates package give the same digest, which is printed at the end. IMAGE names it
# (ghcr.io/mailverity/mailverity:VERSION if unset), TARGET is the Rust target.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C # the order of files
target=${CARGO_TARGET_DIR:-target}
scripts/packages.sh image ca-certificates jq >&2
triple=${TARGET:-$(uname -m)-unknown-linux-musl}
programs=$(scripts/static.sh "$triple" mailverity)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
image=${IMAGE:-ghcr.io/mailverity/mailverity:$version}
case $triple in x86_64-*) architecture=amd64 ;; aarch64-*) architecture=arm64 ;; *) architecture=${triple%%-*} ;; esac
limit=$((15 * 1024 * 1024)) # what a pull may cost

out=$target/image
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

root=$made/root
mkdir -p "$root/etc/ssl/certs" "$root/usr/share/doc/mailverity"
install -m 755 "$programs/mailverity" "$root/mailverity"
install -m 644 LICENSE "$root/usr/share/doc/mailverity/"
scripts/sbom.sh "$triple" mailverity >"$root/usr/share/doc/mailverity/sbom.cdx.json"
# Mozilla's list as Debian has it. Not the machine's own bundle, which holds whatever else its administrator trusts.
cat /usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
# Programs look up their own user's name.
printf 'mailverity:x:65532:65532::/:/\n' >"$root/etc/passwd"
printf 'mailverity:x:65532:\n' >"$root/etc/group"

# Nobody's clock, user or order of files is in it.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
pack() { tar --sort=name --format=ustar --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=go-w,a+rX -C "$1" -cf - "${@:2}"; }
digest() { sha256sum "$1" | cut -d' ' -f1; }
blobs=$made/layout/blobs/sha256
mkdir -p "$blobs"
# Moves a file among the blobs, and prints what refers to it.
blob() { # file media-type
  local sum size
  sum=$(digest "$1")
  size=$(stat -c %s "$1")
  mv "$1" "$blobs/$sum"
  jq -nc --arg type "$2" --arg sum "$sum" --argjson size "$size" '{mediaType: $type, digest: "sha256:\($sum)", size: $size}'
}

pack "$root" . >"$made/layer.tar"
content=$(digest "$made/layer.tar")
gzip -9n "$made/layer.tar"
size=$(stat -c %s "$made/layer.tar.gz")
if ((size > limit)); then
  echo "image: its layer has $size bytes, more than $limit" >&2
  exit 1
fi
layer=$(blob "$made/layer.tar.gz" application/vnd.oci.image.layer.v1.tar+gzip)

jq -nc --arg architecture "$architecture" --arg created "$(date -u -d "@$epoch" +%FT%TZ)" --arg content "sha256:$content" \
  --arg version "$version" --arg revision "$(git describe --always --dirty --abbrev=40 --exclude="*" 2>/dev/null || true)" '
  {created: $created, architecture: $architecture, os: "linux",
    config: {User: "65532:65532", Entrypoint: ["/mailverity"], WorkingDir: "/", Labels: ({
      "org.opencontainers.image.title": "mailverity", "org.opencontainers.image.version": $version,
      "org.opencontainers.image.licenses": "Apache-2.0", "org.opencontainers.image.source": "https://github.com/mailverity/mailverity"}
      + if $revision == "" then {} else {"org.opencontainers.image.revision": $revision} end)},
    rootfs: {type: "layers", diff_ids: [$content]}, history: [{created: $created, created_by: "Containerfile"}]}' >"$made/config"
config=$(blob "$made/config" application/vnd.oci.image.config.v1+json)
jq -nc --argjson config "$config" --argjson layer "$layer" \
  '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: $config, layers: [$layer]}' >"$made/manifest"
manifest=$(blob "$made/manifest" application/vnd.oci.image.manifest.v1+json)
# containerd reads the whole name, others the tag; docker load reads manifest.json.
jq -nc --argjson manifest "$manifest" --arg image "$image" '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [
  $manifest + {annotations: {"io.containerd.image.name": $image, "org.opencontainers.image.ref.name": ($image | sub(".*:"; ""))}}]}' >"$made/layout/index.json"
jq -nc --argjson config "$config" --argjson layer "$layer" --arg image "$image" \
  'def path: "blobs/" + (.digest | sub(":"; "/")); [{Config: ($config | path), RepoTags: [$image], Layers: [$layer | path]}]' >"$made/layout/manifest.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$made/layout/oci-layout"

mkdir -p "$out"
rm -rf "$out/root"
mv "$root" "$out/root"
pack "$made/layout" oci-layout index.json manifest.json blobs >"$out/mailverity.tar"
printf 'image: %s linux/%s, %s bytes compressed, %s\n' "$image" "$architecture" "$size" "$(jq -r .digest <<<"$manifest")"
