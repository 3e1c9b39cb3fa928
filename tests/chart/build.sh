#!/bin/bash
# build.sh: makes sure of helm, kubeconform and kstatus, and prints their folder.
#
# They are built from Go modules, whose versions are in tools/*/go.mod. Those of the machine are not used: another version renders
# other bytes. Exit code 3: there is no Go to build with.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/once.sh
. "$here/../once.sh"

version() { sed -n "s#^.*$1 v\\([^ ]*\\).*#\\1#p" "$here/tools/helm/go.mod" | head -n 1; }
build() { (cd "$here/tools/$2" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w ${4:-}" -o "$1/$2" "$3"); }
programs() {
  build "$1" kubeconform github.com/yannh/kubeconform/cmd/kubeconform
  build "$1" kstatus .
  # Without these it takes itself for one of Kubernetes 1.20, and refuses charts that want a newer one.
  local minor helm=helm.sh/helm/v3
  minor=$(version k8s.io/client-go | cut -d. -f2)
  build "$1" helm $helm/cmd/helm "-X $helm/internal/version.version=v$(version $helm) -X $helm/pkg/chartutil.k8sVersionMajor=1 \
    -X $helm/pkg/chartutil.k8sVersionMinor=$minor -X $helm/pkg/lint/rules.k8sVersionMajor=1 -X $helm/pkg/lint/rules.k8sVersionMinor=$minor"
}
once chart "helm, kubeconform and kstatus" "$here"/tools/*/{go.mod,go.sum,*.go}
