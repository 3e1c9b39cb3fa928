#!/bin/bash
# archive.sh NAME:TAG PROGRAM: an image that holds one static program, as an archive that docker load and ctr know, to standard output.
set -euo pipefail
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
tar -C "$(dirname "$2")" -cf "$made/layer.tar" "$(basename "$2")"
printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/%s"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
  "$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')" "$(basename "$2")" "$(sha256sum "$made/layer.tar" | cut -d' ' -f1)" >"$made/config.json"
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$1" >"$made/manifest.json"
tar -C "$made" -cf - manifest.json config.json layer.tar
