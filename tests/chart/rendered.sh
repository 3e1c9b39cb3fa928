# shellcheck shell=bash
# What single values make of the manifests; read by run.

# A template's objects, as a list in JSON.
objects() { # template argument-of-helm...
  render "${@:2}" --show-only "templates/$1" | k annotate --local -f - seen=yes -o json | jq -s .
}
open_ports() {
  objects "$1" --set networkPolicy.enabled=true "${@:2}" |
    jq -r '.[].spec.egress[].ports[] | "\(.protocol)/\(.port)" + if .endPort then "-\(.endPort)" else "" end' | sort -u
}
lets_out() { # template "ports" argument...
  local all port
  all=$(open_ports "$1" "${@:3}")
  for port in $2; do grep -qxF "$port" <<<"$all" || { printf '%s is closed; open are\n%s\n' "$port" "$all" && return 1; }; done
}
keeps_in() { ! lets_out "$@" || { echo "$2 is open" && return 1; }; }
operator=operator/42-networkpolicy.yaml agent=agent/51-networkpolicy.yaml receiver=receiver/43-networkpolicy.yaml
narrow=(--set 'networkPolicy.apiServerPorts={6443}')
one=(--set 'actors[0].name=dmz')
check "the operator gets to name servers, the API server and mail servers" lets_out $operator \
  "UDP/53 TCP/53 TCP/6443 TCP/25 TCP/465 TCP/587 TCP/2525 TCP/110 TCP/143 TCP/993 TCP/995" "${narrow[@]}"
check "the operator gets to Microsoft's and Google's HTTPS, whatever the API server's ports are" lets_out $operator TCP/443 "${narrow[@]}"
check "the operator gets to the token hosts that it is told of" lets_out $operator "TCP/443 TCP/8443" "${narrow[@]}" \
  --set 'allowedTokenHosts={login.corp.example,sts.corp.example:8443}'
check "the operator gets to name servers on other ports" lets_out $operator "UDP/53 UDP/5353 TCP/5353 UDP/5354" \
  --set 'reach.nameservers={10.0.0.53:5353,[fd00::53]:5354,fd00::54}'
for of in 'http://proxy 3128' 'http://proxy:8080 8080' 'socks5://proxy 1080' 'socks5://[fd00::1]:1081 1081' 'socks5://[fd00::1] 1080'; do
  check "the operator gets to the proxy ${of% *}" lets_out $operator "TCP/${of#* }" --set "egressProxy.url=${of% *}"
  check "an agent gets to the proxy ${of% *}" lets_out $agent "TCP/${of#* }" "${one[@]}" --set "actors[0].egressProxy.url=${of% *}"
done
check "the operator gets to the proxy for HTTPS" lets_out $operator TCP/8080 --set httpsProxy.url=http://proxy:8080
check "an agent gets to its name servers and mail servers" lets_out $agent "UDP/5353 TCP/2526 TCP/6443" "${narrow[@]}" "${one[@]}" \
  --set 'actors[0].reach.nameservers={10.0.0.53:5353}' --set 'actors[0].reach.allowedPorts={2526}'
check "an agent, which is given access tokens, speaks no HTTPS" keeps_in $agent TCP/443 "${narrow[@]}" "${one[@]}"
check "a receiver gets to no mail server" keeps_in $receiver "TCP/25" --set receiver.enabled=true
check "a receiver speaks no HTTPS" keeps_in $receiver "TCP/443" "${narrow[@]}" --set receiver.enabled=true

gettable() { # resources argument...
  local said
  said=$(objects operator/30-clusterrole.yaml "${@:2}" | jq -r '[.[] | select(.kind == "ClusterRole").rules[]
    | select(.verbs == ["get"]).resources[] | select(IN("namespaces", "secrets", "configmaps") | not)] | join(" ")')
  [ "$said" = "$1" ] || { echo "it may get: $said" && return 1; }
}
check "the operator may get the kinds that targetKinds names by default" gettable "services deployments statefulsets"
check "and no others" gettable "services" --set 'targetKinds={v1/Service}'
check "and none where targetKinds names none" gettable "" --set-json 'targetKinds=[]'
check "and what rbac.targetRules adds" gettable "statefulsets cronjobs" --set 'targetKinds={apps/v1/StatefulSet,batch/v1/CronJob}' \
  --set-json 'rbac.targetRules=[{"apiGroups":["batch"],"resources":["cronjobs"],"verbs":["get"]}]'

operators_pod() { objects operator/40-deployment.yaml "$@" | jq '.[0].spec.template.spec'; }
# Two bundles of one key must not replace one another, and a key is nobody's business who asked for a certificate. The kubelet renews
# what is mounted as a folder, and never a subPath.
authorities() {
  local pod
  pod=$(operators_pod --set extraCABundle.configMapName=corp,extraCABundle.configMapKey=ca.crt,extraCABundle.secretName=more)
  jq -e '[.volumes[] | [.configMap.name // .secret.secretName, [(.configMap // .secret).items[]?.key]]] == [["corp", ["ca.crt"]], ["more", ["ca.crt"]]]' <<<"$pod"
  jq -e '.containers[0] | [.volumeMounts[].mountPath] as $folders
    | ($folders | unique | length) == 2 and any(.env[]; .name == "SSL_CERT_DIR" and (.value / ":") == $folders)
    and all(.volumeMounts[]; has("subPath") | not)' <<<"$pod"
  operators_pod --set extraCABundle.configMapName=corp | jq -e '.volumes[0].configMap | has("items") | not'
}
check "two bundles of CAs stand side by side, and no private key is mounted" authorities

https_proxy() {
  operators_pod --set httpsProxy.url=http://proxy:3128 --set 'httpsProxy.noProxy={corp.example,10.0.0.1}' | jq -e '.containers[0].env
    | any(.name == "HTTPS_PROXY" and .value == "http://proxy:3128") and any(.name == "NO_PROXY" and .value == "corp.example,10.0.0.1")'
  operators_pod --set httpsProxy.secretRef.name=proxy | jq -e '.containers[0].env
    | any(.name == "HTTPS_PROXY" and .valueFrom.secretKeyRef == {name: "proxy", key: "url"}) and all(.name != "NO_PROXY")'
}
check "the operator's proxy for HTTPS is in its environment, one with a password by its Secret" https_proxy

first_server() { # namespace argument...
  local said
  said=$(render --set firstMailServer.enabled=true,firstMailServer.host=h "${@:2}" --show-only templates/first-mailserver.yaml |
    sed -n 's/^  namespace: //p')
  [ "$said" = "$1" ] || { echo "it is in $said" && return 1; }
}
check "the first MailServer is beside the operator" first_server mailverity-system
check "or in the first namespace that is looked after" first_server team-a --set 'watchNamespaces={team-a,team-b}'
check "or beside the operator where that is looked after" first_server mailverity-system --set 'watchNamespaces={team-a,mailverity-system}'

# Every selector finds what it is for, whatever labels somebody adds: commonLabels are in the pods as well.
selects() { # argument...
  render --set serviceMonitor.enabled=true,receiver.enabled=true,networkPolicy.enabled=true "${one[@]}" "$@" |
    k annotate --local -f - seen=yes -o json | jq -se '
      def selected($labels): to_entries - ($labels | to_entries) == [];
      . as $all | def of($kinds): $all[] | select(.kind | IN($kinds[]));
      [of(["ServiceMonitor"]) | .spec.selector | del(.matchLabels), (.matchLabels as $wanted | [of(["Service"])
        | select(. as $service | $wanted | selected($service.metadata.labels)).metadata.name])] == [{}, [$name + "-metrics", $name + "-receiver-metrics"]]
      and all(of(["Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"]);
        . as $it | [of(["Deployment"]) | select(.metadata.namespace == $it.metadata.namespace).spec.template.metadata.labels as $pods
        | .spec.template.spec.topologySpreadConstraints // [] | map(.labelSelector) + [$it.spec | .selector // .podSelector]
        | select(length > 0 and all(.[]; .matchLabels // . | selected($pods)))] | length == 1)' --arg name "${name:-mailverity}"
}
check "every selector finds its own" selects
name=second check "and in a second installation" selects --set operatorName=second
check "and where all has app.kubernetes.io/instance, by which Argo CD may know what is its own" selects --set 'commonLabels.app\.kubernetes\.io/instance=x'

pod_labels() {
  objects operator/40-deployment.yaml --set commonLabels.team=platform,operator.podLabels.team=mail |
    jq -e '.[0] | .metadata.labels.team == "platform" and .spec.template.metadata.labels.team == "mail"'
}
check "a label of the pods goes before that of all objects" pod_labels
