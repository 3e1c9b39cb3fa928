#!/bin/bash
# krew.sh VERSION DIR: the manifest by which krew installs `kubectl mail`, to standard output: a platform for each archive of kubectl-mail
# in DIR, with its checksum.
set -euo pipefail
version=$1 dir=$2
cat <<EOT
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: mail
spec:
  version: v$version
  homepage: https://github.com/mailverity/mailverity
  shortDescription: Prove mail settings, now and from where you choose
  description: |
    Has mailverity look at a MailServer, an EmailProfile, a RoundTripPolicy or a
    MailReceiver at once, follows what it finds, and ends with an exit code.
  caveats: |
    It needs the mailverity operator in the cluster.
  platforms:
EOT
found=
for archive in "$dir/kubectl-mail-$version"-*.tar.gz; do
  [ -e "$archive" ] || break
  found=1
  platform=$(basename "$archive" .tar.gz)
  platform=${platform#"kubectl-mail-$version-"}
  cat <<EOT
    - selector:
        matchLabels: {os: ${platform%-*}, arch: ${platform#*-}}
      uri: https://github.com/mailverity/mailverity/releases/download/v$version/$(basename "$archive")
      sha256: $(sha256sum "$archive" | cut -d' ' -f1)
      bin: kubectl-mail
EOT
done
[ -n "$found" ] || { echo "krew: no archive of kubectl-mail $version in $dir" >&2 && exit 1; }
