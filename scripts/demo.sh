#!/bin/bash
# demo.sh up|down: a real API server, a mail sandbox and the operator on this machine, with four MailServers: one verified,
# three that fail, each in its own way.
#
# Never touches another cluster: it knows only the kubeconfig that it wrote itself. Everything lies in target/demo.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/demo"
dir=$(cd "$target/demo" && pwd)
program=$(dirname "$dir")/debug/mailverity
unset KUBECONFIG
say() { printf '\n== %3d s  %s\n' "$SECONDS" "$*"; }

start() { # name variable=value... command...
  setsid env "${@:2}" >"$dir/$1.log" 2>&1 </dev/null &
  echo $! >"$dir/$1.pid"
}
down() {
  local name pid
  for name in operator sandbox; do
    pid=$(cat "$dir/$name.pid" 2>/dev/null) || continue
    # A process id may have been given to a stranger since.
    if grep -qaF mailverity "/proc/$pid/cmdline" 2>/dev/null; then
      kill "$pid" 2>/dev/null || true
      for i in {1..120}; do
        kill -0 "$pid" 2>/dev/null || break
        if ((i == 110)); then kill -KILL "$pid" 2>/dev/null || true; fi
        sleep 0.1
      done
    fi
    rm -f "$dir/$name.pid"
  done
  tests/controlplane/down.sh "$dir/controlplane"
}

case "${1:-}" in
  up) ;;
  down)
    down
    rm -rf "$dir"
    echo "demo: ended"
    exit
    ;;
  *)
    echo "usage: $0 up|down" >&2
    exit 2
    ;;
esac

down # a second run begins afresh
umask 077
ready=''
finish() {
  [ -n "$ready" ] && return
  down
  printf '\ndemo: it did not work; logs are in %s\n' "$dir" >&2
  tail -n 5 "$dir"/{operator,sandbox}.log 2>/dev/null >&2 || true
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

scripts/rust.sh
say "building mailverity (about 4 minutes the first time)"
cargo build --locked --bin mailverity

say "a control plane: etcd, kube-apiserver, kube-controller-manager"
code=0
bin=$(tests/controlplane/build.sh) || code=$?
if ((code == 3)); then
  say "without a control plane: the same check, from here, against the mail sandbox"
  ready=1
  "$program" check --live --sandbox -f deploy/demo || (($? == 1)) # 1: some are not verified, as is meant here
  exit
fi
((code == 0)) || exit "$code"
tests/controlplane/up.sh "$dir/controlplane"
kubeconfig=$dir/controlplane/kubeconfig
if ! grep -q 'server: "https://127.0.0.1:' "$kubeconfig"; then
  echo "demo: $kubeconfig is not of a control plane on this machine; refusing to use it" >&2
  exit 1
fi
k() { "$bin/kubectl" --kubeconfig "$kubeconfig" --context mailverity-local "$@"; }

say "a mail sandbox: SMTP and POP3 on loopback"
rm -rf "$dir/sandbox"
start sandbox "$program" sandbox --smtp-port 0 --smtps-port 0 --plain-port 0 --pop3-port 0 --pop3s-port 0 --dir "$dir/sandbox"
for _ in {1..100}; do
  [ ! -s "$dir/sandbox/ports.json" ] || break
  kill -0 "$(cat "$dir/sandbox.pid")"
  sleep 0.1
done
smtp=$(sed -n 's/.*"smtp": *\([0-9]*\).*/\1/p' "$dir/sandbox/ports.json" | head -n 1)
[ -n "$smtp" ]

say "the operator, with the rights that it has in a cluster and no others"
k apply -f crds/ >/dev/null
k wait --for=condition=Established crd --all --timeout=30s >/dev/null
for file in deploy/operator/*.yaml; do
  # There is no node to run it in: the operator runs as a process beside the API server.
  grep -q '^kind: Deployment' "$file" || k apply -f "$file" >/dev/null
done
token=$(k -n mailverity-system create token mailverity --duration 24h)
sed "s/token: [^}]*/token: $token/; s/admin/operator/g" "$kubeconfig" >"$dir/operator.kubeconfig"
# Loopback is denied unless it is allowed, and so are odd ports.
start operator KUBECONFIG="$dir/operator.kubeconfig" "$program" operator --operator-namespace mailverity-system \
  --deny-cidrs '' --allowed-ports "$smtp" --metrics-address 127.0.0.1:0

say "four MailServers"
k create namespace mail-demo >/dev/null
k -n mail-demo create configmap sandbox-ca --from-file=ca.crt="$dir/sandbox/ca.crt" >/dev/null
k -n mail-demo create secret generic relay-credentials --type kubernetes.io/basic-auth \
  --from-file=username="$dir/sandbox/username" --from-file=password="$dir/sandbox/password" >/dev/null
sed "s/2587/$smtp/" deploy/demo/mailservers.yaml | k apply -f -
k -n mail-demo wait --for=condition=Verified mailserver/relay --timeout=60s >/dev/null
k -n mail-demo wait --for=condition=Ready=False mailserver/{wrong-password,wrong-tls-mode,unknown-ca} --timeout=60s >/dev/null

printf '\n$ kubectl get mailservers -n mail-demo\n'
k -n mail-demo get mailservers
printf '\nWhy, and what to do (the message of condition Ready; kubectl describe mail shows the rest):\n'
k -n mail-demo get mail -o go-template='{{range .items}}{{$name := .metadata.name}}{{range .status.conditions}}{{if eq .type "Ready"}}{{$name}}: {{.reason}}
    {{.message}}
{{end}}{{end}}{{end}}'
ready=1
cat <<EOT

Up after $SECONDS s. It is yours to play with:

  export KUBECONFIG=$kubeconfig
  alias kubectl=$bin/kubectl
  kubectl -n mail-demo describe mail wrong-password
  kubectl -n mail-demo patch secret wrong-credentials -p '{"stringData": {"password": "'\$(cat $dir/sandbox/password)'"}}'
  kubectl -n mail-demo get mailservers -w # the changed Secret is noticed within 5 s, and wrong-password is mended

The operator's log: $dir/operator.log. The end of it all: make demo-down
EOT
