#!/bin/bash
# up.sh DIR: a Kubernetes of one node on this machine, with real pods, Services and DNS; a Ready node in about 10 s. Needs root.
#
# DIR/kubeconfig is an administrator's, DIR/env says where things are, one NAME=value a line. Images are imported, as there is no
# registry: `ctr -a DIR/containerd.sock -n k8s.io images import ARCHIVE`. Pods reach this machine at ADDRESS, where the names
# mail.example.test and mx.receiver.test lead; nothing of theirs leaves it. One node at a time, as its cgroups and packet filter are
# the machine's. down.sh DIR ends it all; so does an interrupted up.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/ports.sh
. "$here/../ports.sh"
plane=$("$here/../controlplane/build.sh" --whole)
bin=$("$here/build.sh")
for cni in /usr/lib/cni /opt/cni/bin ''; do if [ -x "$cni/bridge" ]; then break; fi; done
[ -n "$cni" ] || { echo "node: the network plugins of pods are missing (containernetworking-plugins)" >&2 && exit 1; }

mkdir -p "$1"
dir=$(cd "$1" && pwd)
"$here/down.sh" "$dir"
for group in /sys/fs/cgroup/*/kubepods /sys/fs/cgroup/kubepods; do
  if [ -d "$group" ]; then echo "node: $group: this machine is a node already" >&2 && exit 1; fi
done
cd "$dir"

ready=
trap '[ -n "$ready" ] || "$here/down.sh" "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

daemon() { # name program argument...
  setsid "${@:2}" >"$dir/$1.log" 2>&1 </dev/null &
  echo $! >"$dir/$1.pid"
}
wait_for() { # what seconds command...
  local tries=$(($2 * 10))
  until "${@:3}" >/dev/null 2>&1; do
    if ((--tries == 0)); then echo "node: not in $2 s: $1; the logs are in $dir" >&2 && return 1; fi
    sleep 0.1
  done
}

# Networks that nobody here uses.
for ((n = 0; n < 256; n++)); do if ! ip route show table all | grep "10\.\(88\|96\)\.$n\." >/dev/null; then break; fi; done
net=10.88.$n services=10.96.$n address=10.88.$n.1 bridge=mvnode$n
read -r etcd peer api manager scheduler kubelet healthz proxy proxy_metrics dns <<<"$(free_ports 10)"
cat >env <<EOT
ADDRESS=$address
BRIDGE=$bridge
BIN=$bin
PLANE=$plane
EOT
# What will be changed, for down.sh to put back.
sysctl net.ipv4.ip_forward vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys \
  kernel.keys.root_maxbytes 2>/dev/null | sed 's/ = /=/' >sysctl.before
for made in /var/lib/kubelet /var/lib/cni /var/lib/containerd /run/containerd /run/netns /var/log/pods /var/log/containers /etc/cni /opt/containerd; do
  [ -e "$made" ] || echo "$made"
done >absent.before
sysctl -qw net.ipv4.ip_forward=1
ip link add "$bridge" type bridge
ip addr add "$address/24" dev "$bridge"
ip link set "$bridge" up

umask 077
# One CA for the API server's certificate at the kubelet; everybody else has a token.
new=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
{
  openssl req -x509 "${new[@]}" -keyout ca.key -out ca.crt -days 2 -subj /CN=node
  openssl req "${new[@]}" -keyout client.key -out client.csr -subj /O=system:masters/CN=apiserver
  openssl x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out client.crt -extfile <(echo extendedKeyUsage=clientAuth)
  openssl genrsa -out accounts.key 2048
} >openssl.log 2>&1 || { cat openssl.log >&2 && exit 1; }
: >tokens.csv
account() { # file user,id[,group]
  local token
  token=$(head -c16 /dev/urandom | od -An -tx1 | tr -d ' \n')
  echo "$token,$2" >>tokens.csv
  cat >"$1" <<EOT
apiVersion: v1
kind: Config
clusters: [{name: node, cluster: {server: "https://$address:$api", certificate-authority: "$dir/certs/apiserver.crt"}}]
users: [{name: node, user: {token: $token}}]
contexts: [{name: node, context: {cluster: node, user: node}}]
current-context: node
EOT
}
account kubeconfig admin,admin,system:masters
account manager.kubeconfig system:kube-controller-manager,manager
account scheduler.kubeconfig system:kube-scheduler,scheduler
account kubelet.kubeconfig system:node:node,node,system:nodes
account proxy.kubeconfig system:kube-proxy,proxy
account dns.kubeconfig system:dns,dns,system:masters
k() { "$plane/kubectl" --kubeconfig "$dir/kubeconfig" "$@"; }
umask 022 # containerd makes the containers' root directories with it, and their users have to get in

mkdir -p cni kubelet-logs
cat >cni/bridge.conflist <<EOT
{"cniVersion": "1.0.0", "name": "$bridge", "plugins": [{"type": "bridge", "bridge": "$bridge", "isGateway": true, "hairpinMode": true,
  "ipam": {"type": "host-local", "dataDir": "$dir/addresses", "routes": [{"dst": "0.0.0.0/0"}],
    "ranges": [[{"subnet": "$net.0/24", "rangeStart": "$net.10", "gateway": "$address"}]]}}]}
EOT
cat >containerd.toml <<EOT
version = 2
root = "$dir/containerd"
state = "$dir/containerd-run"
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs"]
[grpc]
  address = "$dir/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$dir/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  # A root without CAP_SYS_RESOURCE may not lower what is to be killed last.
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$cni"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
EOT
daemon containerd containerd --config "$dir/containerd.toml"

daemon etcd "$plane/etcd" --data-dir "$dir/etcd" --unsafe-no-fsync --log-level error \
  --listen-client-urls "http://127.0.0.1:$etcd" --advertise-client-urls "http://127.0.0.1:$etcd" \
  --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" \
  --initial-cluster "default=http://127.0.0.1:$peer"
daemon apiserver "$plane/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd" --bind-address="$address" --advertise-address="$address" \
  --secure-port="$api" --cert-dir="$dir/certs" --service-cluster-ip-range="$services.0/24" --service-node-port-range=20000-32767 \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --token-auth-file="$dir/tokens.csv" \
  --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$dir/accounts.key" \
  --service-account-signing-key-file="$dir/accounts.key" --kubelet-client-certificate="$dir/client.crt" \
  --kubelet-client-key="$dir/client.key" --kubelet-preferred-address-types=InternalIP
wait_for "containerd answers" 30 ctr -a "$dir/containerd.sock" version
"$here/archive.sh" localhost/pause:1 "$bin/pause" >pause.tar
ctr -a "$dir/containerd.sock" -n k8s.io images import pause.tar >>import.log 2>&1
wait_for "the API server is ready" 60 k get --raw /readyz
daemon manager "$plane/kube-controller-manager" --kubeconfig="$dir/manager.kubeconfig" --leader-elect=false \
  --use-service-account-credentials=true --service-account-private-key-file="$dir/accounts.key" \
  --root-ca-file="$dir/certs/apiserver.crt" --bind-address=127.0.0.1 --secure-port="$manager" --cert-dir="$dir/manager-certs"
daemon scheduler "$bin/kube-scheduler" --kubeconfig="$dir/scheduler.kubeconfig" --leader-elect=false \
  --bind-address=127.0.0.1 --secure-port="$scheduler" --cert-dir="$dir/scheduler-certs"

cat >kubelet.yaml <<EOT
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $address
port: $kubelet
healthzBindAddress: 127.0.0.1
healthzPort: $healthz
readOnlyPort: 0
containerRuntimeEndpoint: unix://$dir/containerd.sock
podLogsDir: $dir/kubelet-logs
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $dir/ca.crt}}
authorization: {mode: Webhook}
failCgroupV1: false
cgroupDriver: cgroupfs
makeIPTablesUtilChains: false # nobody would take them away again
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [$address]
resolvConf: ""
imageGCHighThresholdPercent: 100 # an image that was imported cannot be pulled again
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
nodeStatusUpdateFrequency: 5s
syncFrequency: 10s
EOT
daemon kubelet "$bin/kubelet" --config="$dir/kubelet.yaml" --kubeconfig="$dir/kubelet.kubeconfig" --root-dir="$dir/kubelet" \
  --cert-dir="$dir/kubelet-certs" --hostname-override=node --node-ip="$address"
# Mode nftables: that of iptables leaves chains and settings behind.
cat >proxy.yaml <<EOT
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
bindAddress: $address
healthzBindAddress: 127.0.0.1:$proxy
metricsBindAddress: 127.0.0.1:$proxy_metrics
hostnameOverride: node
clusterCIDR: $net.0/24
clientConnection: {kubeconfig: $dir/proxy.kubeconfig}
conntrack: {maxPerCore: 0}
EOT
daemon proxy "$bin/kube-proxy" --config="$dir/proxy.yaml"
cat >test.zone <<EOT
\$ORIGIN test.
@ 60 IN SOA ns.test. nobody.test. 1 60 60 60 60
@ 60 IN NS ns.test.
ns 60 IN A $address
mail.example 60 IN A $address
mx.receiver 60 IN A $address
tls.receiver 60 IN MX 10 mx.receiver.test.
EOT
cat >Corefile <<EOT
.:53 {
  bind $address
  errors
  ready 127.0.0.1:$dns
  cache 5
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $dir/dns.kubeconfig
  }
  file $dir/test.zone test
}
EOT
daemon dns "$bin/coredns" -conf "$dir/Corefile"

node_ready() { [ "$(k get node node -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ]; }
wait_for "the node is Ready" 60 node_ready
wait_for "the default ServiceAccount is there" 30 k get serviceaccount default
ready=1
echo "KUBECONFIG=$dir/kubeconfig"
