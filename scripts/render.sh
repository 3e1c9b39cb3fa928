#!/bin/bash
# render.sh [DIR]: writes what is made from the charts, and from crds/, into the repository or into DIR: the chart of the CRDs,
# deploy/{operator,tokens,identity,agent,receiver} and deploy/install.yaml. DIR/crds has to be there.
#
# So the roles that the cluster tests run with are the chart's.
# Exit code 3: helm cannot be had (no Go), and nothing but the chart of the CRDs was written.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.}

chart=$out/charts/mailverity-crds/templates
mkdir -p "$chart"
for file in "$out"/crds/*.yaml; do
  if grep -q '{{' "$file"; then
    echo "render: $file: helm would take {{ for its own" >&2
    exit 1
  fi
  # An uninstall leaves the kinds, and with them everybody's objects.
  sed 's#^metadata:$#metadata:\n  annotations:\n    helm.sh/resource-policy: keep#' "$file" >"$chart/$(basename "$file")"
done

bin=$(tests/chart/build.sh)
# The three go together. The agent's Actor is for its administrator to make (docs/actors.md); install.yaml has neither.
rendered=$("$bin/helm" template mailverity charts/mailverity --namespace mailverity-system --set namespace.create=true \
  --set receiver.enabled=true --set 'actors[0].name=dmz' --set 'actors[0].createActor=false')
# What goes with --token-secrets and --federated-service-account, which the Deployment in deploy/operator does not have.
rendered+=$'\n'$("$bin/helm" template mailverity charts/mailverity --namespace mailverity-system --set tokenSecrets=true \
  --set workloadIdentity.enabled=true --show-only templates/tokens/30-clusterrole.yaml --show-only templates/identity/30-clusterrole.yaml)
rm -rf "$out"/deploy/{operator,tokens,identity,agent,receiver}
mkdir -p "$out"/deploy/{operator,tokens,identity,agent,receiver}
# Each document goes to the file that has the name of its template.
awk -v out="$out/deploy" '
  /^---$/ { next }
  sub(/^# Source: mailverity\/templates\//, "") {
    file = out "/" $0
    print (seen[file]++ ? "---" : "# Rendered from charts/mailverity by make generate; changes belong there.") >file
    next
  }
  file { if (!/^[[:space:]]*$/) print >file }
' <<<"$rendered"

alone=$("$bin/helm" template mailverity charts/mailverity --namespace mailverity-system --set namespace.create=true)
{
  printf '# The kinds and the operator: kubectl apply --server-side -f install.yaml. Made by make generate.\n'
  for file in "$out"/crds/*.yaml; do
    printf -- '---\n'
    sed '1{/^# Made from /d}' "$file"
  done
  sed '/^# Source: /d; /^[[:space:]]*$/d' <<<"$alone"
} >"$out/deploy/install.yaml"
