#!/bin/bash
# build.sh: makes sure of helm and kubeconform, and prints their folder.
#
# They are built from Go modules, whose versions are in tools/*/go.mod, into a folder of the user's cache, once for all clones
# (MAILVERITY_CACHE overrides it). Those of the machine are not used: another version renders other bytes.
# Exit code 3: there is no Go to build with.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

cache=${MAILVERITY_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/mailverity}
# What the programs are made of: a change of it builds them again.
recipe=$(cat "$here"/tools/*/go.{mod,sum} "$0" | sha256sum | cut -c-16)
bin=$cache/chart-$recipe

if [ -e "$bin/.complete" ]; then
  echo "$bin"
  exit
fi
if ! command -v go >/dev/null; then
  echo "chart: no Go to build helm with; tests/controlplane/build.sh says how to get it" >&2
  exit 3
fi

mkdir -p "$cache"
exec 9>"$cache/.chart.lock"
flock 9 # two clones at once build once
if [ -e "$bin/.complete" ]; then
  echo "$bin"
  exit
fi

made=$(mktemp -d "$cache/chart.XXXXXX")
trap 'rm -rf "$made"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
echo "chart: building helm and kubeconform from Go modules into $bin (about 3 minutes when nothing is cached)" >&2

version() { sed -n "s#^.*$1 v\\([^ ]*\\).*#\\1#p" "$here/tools/helm/go.mod" | head -n 1; }
build() { (cd "$here/tools/$1" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $3" -o "$made/$1" "$2" 9>&-); }
build kubeconform github.com/yannh/kubeconform/cmd/kubeconform ''
# Without these it takes itself for one of Kubernetes 1.20, and refuses charts that want a newer one.
minor=$(version k8s.io/client-go | cut -d. -f2)
helm=helm.sh/helm/v3
build helm $helm/cmd/helm "-X $helm/internal/version.version=v$(version $helm) -X $helm/pkg/chartutil.k8sVersionMajor=1 \
  -X $helm/pkg/chartutil.k8sVersionMinor=$minor -X $helm/pkg/lint/rules.k8sVersionMajor=1 -X $helm/pkg/lint/rules.k8sVersionMinor=$minor"

touch "$made/.complete"
chmod 755 "$made"
rm -rf "$bin"
mv "$made" "$bin"
echo "chart: built in ${SECONDS} s" >&2
echo "$bin"
