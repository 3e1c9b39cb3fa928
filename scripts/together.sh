#!/bin/bash
# together.sh VERSION OUT DIR...: what dist.sh made on machines of several architectures, in one folder: the programs and images of all, what
# does not depend on the machine once, and the manifest for krew and the checksums of the whole.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1 out=$2
rm -rf "$out"
mkdir -p "$out"
for dir in "${@:3}"; do
  for file in "$dir"/*; do
    name=$(basename "$file")
    case $name in mail.yaml | SHA256SUMS) continue ;; esac
    # The charts and the manifests are the same bytes, whoever made them.
    if [ -e "$out/$name" ] && ! cmp "$file" "$out/$name"; then
      echo "together: $name is not the same in $dir" >&2
      exit 1
    fi
    cp "$file" "$out/$name"
  done
done
scripts/krew.sh "$version" "$out" >"$out/mail.yaml"
(cd "$out" && sha256sum -- * >SHA256SUMS)
ls -l "$out"
