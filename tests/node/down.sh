#!/bin/bash
# down.sh DIR: ends what up.sh DIR started, with its pods, and puts the machine back as it was. Logs stay. Nothing running is no error.
set -uo pipefail
[ -f "$1/env" ] || exit 0
dir=$(cd "$1" && pwd)
cd "$dir" || exit 1
# shellcheck source=/dev/null # NAME=value, as up.sh wrote it
. ./env

# A process id may have been given to a stranger since: each of our daemons has DIR in its command line. A zombie is gone.
ours() { tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF -- "$dir/"; }
end() {
  local pid i
  pid=$(cat "$1.pid" 2>/dev/null) || return 0
  if ours "$pid"; then
    kill "$pid"
    for ((i = 0; i < 100; i++)); do
      ours "$pid" || break
      if ((i == 80)); then kill -KILL "$pid"; fi
      sleep 0.1
    done
  fi 2>/dev/null
  rm -f "$1.pid"
}
ctr() { timeout 20 ctr -a "$dir/containerd.sock" -n k8s.io "$@" 2>/dev/null; }
running() { [ -s "$1.pid" ] && ours "$(cat "$1.pid")"; }

end scheduler
end manager
# With no controller left to replace them the kubelet takes its pods, and their network, down in order.
if running kubelet && running apiserver; then
  timeout 60 "$PLANE/kubectl" --kubeconfig kubeconfig delete pods --all --all-namespaces --grace-period=2 --timeout=45s >pods.log 2>&1
fi
end kubelet
# What it could not.
if running containerd; then
  for task in $(ctr tasks ls -q); do ctr tasks kill -s KILL "$task"; done
  for task in $(ctr tasks ls -q); do ctr tasks rm -f "$task"; done
  for container in $(ctr containers ls -q); do
    space=$(ctr containers info "$container" | grep -oE '/(var/)?run/netns/cni-[0-9a-f-]+' | head -n 1)
    if [ -n "$space" ]; then umount "$space" && rm -f "$space"; fi
    ctr containers rm "$container"
  done
fi >/dev/null 2>&1
end proxy
end dns
end containerd
# Shims outlive containerd by design: those that speak to this one.
for line in /proc/[0-9]*/cmdline; do
  case $(tr '\0' ' ' 2>/dev/null <"$line") in
    *containerd-shim*" -address $dir/containerd.sock "*)
      pid=${line%/cmdline}
      kill -KILL "${pid#/proc/}"
      ;;
  esac
done 2>/dev/null
end apiserver
end etcd
timeout 60 "$BIN/kube-proxy" --cleanup >cleanup.log 2>&1
awk -v dir="$dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do umount "$mount" || umount -l "$mount"; done
ip link del "$BRIDGE" 2>/dev/null
xargs -r sysctl -qw <sysctl.before
for group in /sys/fs/cgroup/*/{kubepods,k8s.io} /sys/fs/cgroup/{kubepods,k8s.io}; do
  if [ -d "$group" ]; then find "$group" -depth -type d -exec rmdir {} \; ; fi
done 2>/dev/null
while read -r made; do
  umount "$made" 2>/dev/null # the name spaces of pods are mounted over themselves
  rm -rf --one-file-system "$made"
done <absent.before
rm -rf --one-file-system etcd containerd containerd-run containerd-opt kubelet addresses certs kubeconfig ./*.kubeconfig ./*.key tokens.csv env
