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
    Lists and describes MailServers, EmailProfiles, RoundTripPolicies and
    MailReceivers, has them verified at once and follows what is found, probes servers
    and mailboxes from here or from an Actor, pauses and resumes all mail, drafts
    manifests, and leads through logins. Ends with an exit code.
  caveats: |
    It needs the mailverity operator in the cluster. For the TAB key:
      kubectl mail completion >kubectl_complete-mail
    made executable, in a folder of your PATH.
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
