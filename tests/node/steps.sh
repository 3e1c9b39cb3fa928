# shellcheck shell=bash disable=SC2154 # dir, here, target, plane and bin are run's
# The steps of run.

k() { "$plane/kubectl" "$@"; }
helm() { "$bin/helm" "$@"; }
ctr() { command ctr -a "$dir/node/containerd.sock" -n k8s.io "$@"; }
var() { sed -n "s/^$2=//p" "$dir/$1/env"; }
until_so() { # seconds command...
  local end=$((SECONDS + $1))
  until "${@:2}"; do
    if ((SECONDS > end)); then echo "not in $1 s: ${*:2}" && return 1; fi
    sleep 0.3
  done
}

programs() {
  scripts/rust.sh
  tests/mailstack/install.sh
  tests/controlplane/build.sh --whole
  tests/node/build.sh
  tests/chart/build.sh
}

# What a node may leave on a machine, as far as there is any.
machine() {
  {
    ip -o link | sed 's/^[0-9]*: //; s/[@:].*//'
    awk '{ print $2 }' /proc/mounts
    find /sys/fs/cgroup -maxdepth 2 -name kubepods -o -maxdepth 2 -name k8s.io
    nft list tables
    iptables-save | grep -v '^[#:]'
    ls -d /run/netns/* /run/containerd /var/lib/{kubelet,cni,containerd} /var/log/{pods,containers} /etc/cni /opt/containerd
    sysctl net.ipv4.ip_forward vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
    cat /proc/[0-9]*/cmdline | tr '\0' ' ' | grep -o '[^ ]*/mailverity[-]node[^ ]*'
  } 2>/dev/null || true
}

image() {
  make --no-print-directory image
  local digest
  digest=$(jq -r '.manifests[0].digest' <(tar -xOf "$target/image/mailverity.tar" index.json))
  make --no-print-directory image
  [ "$digest" = "$(jq -r '.manifests[0].digest' <(tar -xOf "$target/image/mailverity.tar" index.json))" ]
}

# In the image's own root, with nothing else in it.
image_alone() {
  local root=$target/image/root said code=0 name
  openssl storeutl -noout -text -certs "$root/etc/ssl/certs/ca-certificates.crt" >"$dir/roots"
  for name in 'ISRG Root X1' 'DigiCert Global Root G2' 'GTS Root R1' 'Amazon Root CA 1' 'GlobalSign'; do
    grep -q "Subject:.*$name" "$dir/roots" || { echo "no $name" && return 1; }
  done
  tests/mailstack/up.sh "$dir/alone"
  trap 'tests/mailstack/down.sh "$dir/alone"' EXIT
  # The stack's CA is nobody's.
  said=$(chroot --userspec=65532:65532 "$root" /mailverity probe "smtps://127.0.0.1:$(var alone SMTPS_PORT)" --no-color) || code=$?
  echo "$said"
  [ "$code" = 1 ] && grep -q CertificateUntrusted <<<"$said"
}
# Those of the image's bundle and the one of extraCABundle: not the program's own, which it falls back on where there are none.
roots() {
  local count
  count=$(grep -c 'BEGIN CERTIFICATE' "$target/image/root/etc/ssl/certs/ca-certificates.crt")
  ((count > 100))
  for of in mailverity-system/deployment/mailverity mail-actor-dmz/deployment/mailverity-agent mail-actor-branch/deployment/mailverity-agent; do
    k logs -n "${of%%/*}" "${of#*/}" --all-pods=true | grep -F 'public certificate authorities' | tee /dev/stderr |
      grep -F "roots=$((count + 1)) from=\"the system\"" >/dev/null || { echo "$of: not $count and one" && return 1; }
  done
}

up() {
  tests/node/up.sh "$dir/node"
  tests/mailstack/up.sh "$dir/mail" "$(var node ADDRESS)"
}

import() {
  local version
  # The version before has the same program under its own tag: what is looked at is the charts' upgrade.
  for version in 0.0.9 "$(version)"; do
    IMAGE=ghcr.io/mailverity/mailverity:$version scripts/image.sh
    ctr images import "$target/image/mailverity.tar"
  done
}
version() { sed -n 's/^version: //p' charts/mailverity/Chart.yaml; }

fill() { # file
  local name
  sed "$(for name in SUBMISSION_PORT SMTPS_PORT IMAPS_PORT RECEIVER_TLS_PORT; do printf 's#@%s@#%s#g;' "$name" "$(var mail "$name")"; done)s#@ADDRESS@#$(var node ADDRESS)#g" "$here/$1"
}
deploy() { # install|upgrade charts
  helm "$1" mailverity-crds "$2/mailverity-crds" --namespace mailverity-system --wait --timeout 1m
  k wait --for=condition=Established crd --all --timeout=30s
  helm "$1" mailverity "$2/mailverity" --namespace mailverity-system --values "$dir/values.yaml" --wait --timeout 2m
}
# The CA for the pods of a namespace, as trust-manager puts it there: whenever the namespace comes.
bundle() { k create configmap corp-ca -n "$1" --from-file=ca.crt="$(var mail CA_FILE)"; }
install() {
  cp -r charts "$dir/old"
  sed -i 's/^version: .*/version: 0.0.9/; s/^appVersion: .*/appVersion: "0.0.9"/' "$dir"/old/*/Chart.yaml
  fill values.yaml >"$dir/values.yaml"
  for name in mailverity-system mail-actor-dmz; do
    k create namespace "$name"
    k label namespace "$name" pod-security.kubernetes.io/enforce=restricted
    bundle "$name"
  done
  k label namespace mail-actor-dmz mailverity.dev/actor=dmz
  until_so 180 bundle mail-actor-branch >/dev/null 2>&1 &
  deploy install "$dir/old"
  wait
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/tls.key" -out "$dir/tls.crt" -days 2 -subj /CN=mx.receiver.test \
    -addext subjectAltName=DNS:mx.receiver.test
  fill objects.yaml | k apply --server-side -f -
  k create secret tls inbound-tls -n mail --cert="$dir/tls.crt" --key="$dir/tls.key"
}

kinds=mailservers,emailprofiles,roundtrippolicies,mailreceivers
objects() { k get "$kinds" -n mail -o json; }
# Asks for all of it to be verified anew; returns when the operator has heard it.
ask() { k annotate "$kinds" --all -n mail --overwrite mailverity.dev/verify-requested-at="$1"; }
not_yet() { # request: what is not Verified since that request, and why
  objects | jq -r --arg request "$1" '.items[] | . as $object | [.status.conditions[]? | {(.type): .}] | add as $is
    | if ($request == "first" or $object.status.lastHandledVerifyRequest == $request) and $object.status.observedGeneration == $object.metadata.generation
        and $is.Ready.status == "True" and $is.Reconciling.status != "True" and $object.status.inFlight == null
        and ($object.kind != "RoundTripPolicy" or $object.status.lastRoundTrip.result == "Succeeded")
        and all($object.status.actors[]?; .state == "Verified" or .state == null or $object.kind == "MailServer") then empty
      else "\($object.kind) \($object.metadata.name): \($is.Ready.reason) \($is.Ready.message)" end'
}
all_verified() { [ -z "$(not_yet "$1")" ] && [ "$(objects | jq '.items | length')" = 6 ]; }
verified() { # request [answered]: it has been asked for before
  [ "$1" = first ] || [ -n "${2:-}" ] || ask "$1"
  until_so 150 all_verified "$1" || { not_yet "$1" && return 1; }
  k get mail -n mail
}

pods() { # component or app label value, namespace
  k get pods -n "$2" -l "app.kubernetes.io/name=$1" --field-selector=status.phase=Running -o name
}
restricted() {
  [ "$(pods mailverity mailverity-system | wc -l)" = 2 ]
  [ "$(pods mailverity-receiver mailverity-receiver | wc -l)" = 2 ]
  for namespace in mail-actor-dmz mail-actor-branch; do [ "$(pods mailverity-agent $namespace | wc -l)" = 1 ]; done
  k get namespaces -l pod-security.kubernetes.io/enforce=restricted -o name | sort | diff - <(printf 'namespace/%s\n' mail mail-actor-branch mail-actor-dmz mailverity-receiver mailverity-system)
  local pid root
  for pid in $(pids); do
    grep -q '^Uid:\s65532\s' "/proc/$pid/status"
    grep -q '^CapBnd:\s0*$' "/proc/$pid/status"
    grep -q '^NoNewPrivs:\s1' "/proc/$pid/status"
    grep -q '^Seccomp:\s2' "/proc/$pid/status"
    root=$(awk '$5 == "/" { print $6 }' "/proc/$pid/mountinfo")
    case ,$root, in *,ro,*) ;; *) echo "$pid: its root is $root" && return 1 ;; esac
  done
}
# Process ids of our containers, of one pod where it is named.
pids() { # [pod]
  local container
  for container in $(k get pods -A -o json | jq -r --arg pod "${1:-}" '.items[] | select(.metadata.labels["app.kubernetes.io/name"] // "" | startswith("mailverity"))
    | select($pod == "" or .metadata.name == $pod) | .status.containerStatuses[].containerID | sub("containerd://"; "")'); do
    ctr tasks ls | awk -v id="$container" '$1 == id { print $2 }'
  done
}

leader() { k get lease mailverity -n mailverity-system -o 'jsonpath={.spec.holderIdentity}'; }
another_leads() { [ -n "$(leader)" ] && [ "$(leader)" != "$1" ]; }
# Whoever is killed is killed with mails on their way: Postfix keeps what goes out by smtp, to receivers, or by lmtp, to mailboxes.
hold() { # transport
  local etc
  etc=$(cat "$dir/mail/home")/postfix/etc
  postconf -c "$etc" -e "defer_transports = ${1:-}"
  postfix -c "$etc" reload
}
let_go() {
  hold
  postqueue -c "$(cat "$dir/mail/home")/postfix/etc" -f
}
all_sent() { objects | jq -e 'all(.items[] | select(.kind == "RoundTripPolicy"); .status.inFlight.sentAt != null)'; }
all_looked_for() { objects | jq -e 'all(.items[] | select(.kind == "EmailProfile") | .status.actors[]; .state == "AwaitingMessage")'; }
kill_leader() {
  local before pid
  before=$(leader)
  pid=$(pids "${before%%_*}")
  [ -n "$pid" ]
  hold smtp
  ask killed-leader
  until_so 20 all_sent
  kill -KILL "$pid"
  until_so 30 another_leads "$before"
  let_go
  # The next leader settles what the killed one has sent.
  verified killed-leader answered
  verified after-leader
  k get pods -n mailverity-system -o json | jq -e '[.items[].status.containerStatuses[].restartCount] | add == 1'
}
kill_agent() {
  local pod
  hold lmtp
  ask killed-agent
  until_so 20 all_looked_for
  pod=$(pods mailverity-agent mail-actor-dmz)
  k delete -n mail-actor-dmz "$pod" --grace-period=0 --force
  until_so 60 replaced mail-actor-dmz "$pod"
  let_go
  verified killed-agent answered
  verified after-agent
}
replaced() { [ -n "$(pods mailverity-agent "$1")" ] && [ "$(pods mailverity-agent "$1")" != "$2" ]; }
kill_receiver() {
  local pod
  pod=$(pods mailverity-receiver mailverity-receiver | sed -n 1p)
  hold smtp
  ask killed-receiver
  until_so 20 all_sent
  k delete -n mailverity-receiver "$pod" --grace-period=0 --force
  let_go
  verified killed-receiver answered
  k rollout status deployment/mailverity-receiver -n mailverity-receiver --timeout=60s
  verified after-receiver
}

identities() { k get crd,"$kinds",actors -A -o json | jq -r '.items[] | "\(.kind) \(.metadata.name) \(.metadata.uid)"' | sort; }
runs_only() { # version
  [ "$(k get pods -A -l 'app.kubernetes.io/name in (mailverity,mailverity-agent,mailverity-receiver)' -o json |
    jq -r '.items[] | select(.metadata.deletionTimestamp == null) | .spec.containers[].image' | sort -u)" = "ghcr.io/mailverity/mailverity:$1" ]
}
upgrade() {
  identities >"$dir/identities"
  deploy upgrade charts
  until_so 60 runs_only "$(version)"
  verified after-upgrade
  identities | diff "$dir/identities" -
}
rollback() {
  helm rollback mailverity --namespace mailverity-system --wait --timeout 2m
  helm rollback mailverity-crds --namespace mailverity-system --wait --timeout 1m
  until_so 60 runs_only 0.0.9
  verified after-rollback
  identities | diff "$dir/identities" -
}

# What Postfix took, by recipient and Message-ID: each of ours is claimed under an id of its own.
once_each() {
  local log=$dir/mails
  awk '{
      queue = $6; sub(":", "", queue)
      if (match($0, /message-id=<[^>]*>/)) id[queue] = substr($0, RSTART, RLENGTH)
      if (match($0, / to=<[^>]*>/)) to[queue, ++count[queue]] = substr($0, RSTART, RLENGTH)
    } END { for (queue in id) { delete seen; for (n = 1; n <= count[queue]; n++) if (!seen[to[queue, n]]++) print id[queue] to[queue, n] } }' \
    "$(var mail POSTFIX_LOG)" | grep -E 'to=<(alice|inbound|vacation|forward)@' | sort >"$log"
  echo "mails: $(wc -l <"$log")"
  [ "$(wc -l <"$log")" -ge 20 ]
  [ -z "$(uniq -d "$log")" ] || { uniq -d "$log" && return 1; }
}

# Whatever a release may have made, but for what Kubernetes itself makes.
left() {
  k get "$(k api-resources --verbs=list -o name | grep -v '^events\|^endpoints\|^componentstatuses\|^customresourcedefinitions\|^apiservices' | paste -sd,)" \
    -A -o custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name --no-headers |
    grep -v ' kube-root-ca.crt$\|^ServiceAccount .* default$\|^Lease  *kube-' | tr -s ' ' | sort
}
same_as_before() { left | diff "$dir/before" -; }
uninstall() {
  helm uninstall mailverity --namespace mailverity-system --wait --timeout 2m
  k wait --for=delete namespace mailverity-receiver mail-actor-branch --timeout=60s
  helm uninstall mailverity-crds --namespace mailverity-system
  [ "$(k get crd -o name | grep -c mailverity.dev)" = "$(find crds -name '*.yaml' | wc -l)" ]
  all_of() { k get "$kinds" -n mail -o json | jq -e '(.items | length) == 6 and all(.items[]; .metadata.finalizers == null)'; }
  all_of
  k delete "$kinds" --all -n mail --timeout=20s
  k delete namespace mail mail-actor-dmz mailverity-system --timeout=60s
  k delete crd --all --timeout=60s
  until_so 30 same_as_before
}

gone() {
  tests/mailstack/down.sh "$dir/mail"
  tests/node/down.sh "$dir/node"
  machine >"$dir/machine.after"
  diff "$dir/machine.before" "$dir/machine.after"
}

# For whoever reads why it failed.
evidence() {
  k get pods,leases -A -o wide
  objects
  k get events -A --sort-by=.lastTimestamp
  k describe pods -A
  k get pods -A -o json | jq -r '.items[] | "\(.metadata.namespace) \(.metadata.name)"' | while read -r namespace pod; do
    for previous in false true; do
      printf '\n### %s %s previous=%s\n' "$namespace" "$pod" "$previous"
      k logs -n "$namespace" "$pod" --previous="$previous"
    done
  done
}
