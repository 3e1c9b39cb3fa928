#!/bin/bash
# build.sh: makes sure of what a node has beside the control plane, kubelet, kube-scheduler, kube-proxy, coredns and the pause
# program of pods, and prints their folder. Kubernetes is that of ../controlplane. Exit code 3: there is no Go to build with.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/once.sh
. "$here/../once.sh"
kubernetes=$here/../controlplane/kubernetes

programs() {
  local version v=k8s.io/component-base/version
  version=$(sed -n 's#^require k8s.io/kubernetes v##p' "$kubernetes/go.mod")
  # Without its version the kubelet calls itself v0.0.0-master, which the scheduler and kubectl cannot read.
  (cd "$kubernetes" && CGO_ENABLED=0 go build -trimpath -o "$1/" -ldflags "-s -w -X $v.gitVersion=v$version -X $v.gitMajor=${version%%.*} \
    -X $v.gitMinor=$(cut -d. -f2 <<<"$version") -X $v.gitTreeState=clean -X $v.gitCommit=$(printf '0%.0s' {1..40}) -X $v.buildDate=1970-01-01T00:00:00Z" \
    k8s.io/kubernetes/cmd/{kubelet,kube-scheduler,kube-proxy})
  (cd "$here/dns" && CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$1/coredns" .)
  cc -Os -static -s -o "$1/pause" "$here/pause.c"
}
once node "kubelet, kube-scheduler, kube-proxy and coredns" "$kubernetes"/go.{mod,sum} "$here"/dns/{go.mod,go.sum,main.go} "$here/pause.c"
