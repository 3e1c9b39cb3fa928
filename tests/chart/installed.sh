# shellcheck shell=bash disable=SC2154 # dir, here and bin are run's
# What needs an API server; read by run.

WHOLE=1 tests/controlplane/up.sh "$dir/plane" >"$dir/plane.log" 2>&1 || { cat "$dir/plane.log" >&2 && exit 1; }

crds() {
  helm install mailverity-crds charts/mailverity-crds
  k wait --for=condition=Established crd --all --timeout=30s
  helm upgrade mailverity-crds charts/mailverity-crds
}
check "the chart of the kinds installs and upgrades" crds

notes() { # words argument...
  helm install mailverity charts/mailverity --namespace mailverity-system --dry-run=client "${@:2}" | sed -n '/^NOTES:/,$p' >"$dir/notes"
  grep -qF -- "$1" "$dir/notes" || { cat "$dir/notes" && return 1; }
}
check "the notes say where a pull secret has to be" notes "mailverity-system, mail-actor-dmz, mailverity-receiver" \
  --set 'image.pullSecrets={pull}' --set 'actors[0].name=dmz' --set receiver.enabled=true

# What the API server itself says of each kind; a field that it does not know is an error.
schemas=$dir/schemas
kinds='v1:Namespace,ServiceAccount,Service,ConfigMap apps/v1:Deployment policy/v1:PodDisruptionBudget
  networking.k8s.io/v1:NetworkPolicy coordination.k8s.io/v1:Lease rbac.authorization.k8s.io/v1:Role,RoleBinding,ClusterRole,ClusterRoleBinding
  mailverity.dev/v1alpha1:Actor,MailServer'
make_schemas() {
  local of version path
  mkdir -p "$schemas"
  cp "$here"/schemas/*.json "$schemas/"
  for of in $kinds; do
    version=${of%%:*}
    path=apis/$version
    [ "$version" != v1 ] || path=api/v1
    k get --raw "/openapi/v3/$path" | jq 'walk(if type == "object" and .type == "object" and has("properties")
      and (has("additionalProperties") | not) and (.["x-kubernetes-preserve-unknown-fields"] | not) then .additionalProperties = false else . end)
      | {components: {schemas: .components.schemas}}' >"$dir/openapi.json"
    for kind in $(tr ',' ' ' <<<"${of#*:}"); do
      jq --arg group "$(sed -n 's#/.*##p' <<<"$version")" --arg kind "$kind" '. + {"$ref": ("#/components/schemas/" + (.components.schemas | to_entries[]
        | select(.value["x-kubernetes-group-version-kind"] // [] | any(.kind == $kind and .group == $group)) | .key))}' "$dir/openapi.json" \
        >"$schemas/${version//\//_}_${kind,,}.json"
    done
  done
}
check "the API server tells its schemas" make_schemas

conform() { "$bin/kubeconform" -strict -summary -schema-location "$schemas/{{ .Group }}{{ if ne .Group .ResourceAPIVersion }}_{{ .ResourceAPIVersion }}{{ end }}_{{ .ResourceKind }}.json" "$@"; }
valid() {
  render --values "$1" >"$dir/rendered.yaml"
  conform "$dir/rendered.yaml"
}
for values in "$here"/values/*.yaml; do
  check "valid with $(basename "$values")" valid "$values"
done

wrong() {
  ! render | sed 's/^  replicas: 2/  replica: 2/' | conform - || return 1
  ! render --set firstMailServer.enabled=true,firstMailServer.host=h | sed 's/^  host:/  hots:/' | conform - || return 1
}
check "a misspelt field of a rendered object would be noticed" wrong

monitoring_kinds() {
  printf '{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"%ss.monitoring.coreos.com"},"spec":{"group":"monitoring.coreos.com","scope":"Namespaced","names":{"kind":"%s","plural":"%ss"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}\n' \
    "$@" | k apply -f -
}
for of in 'servicemonitor ServiceMonitor servicemonitor' 'prometheusrule PrometheusRule prometheusrule'; do
  # shellcheck disable=SC2086 # three words
  check "a stand-in for ${of##* }" monitoring_kinds $of
done
k wait --for=condition=Established crd --all --timeout=30s >/dev/null
check "the notes say what alerts without counting twice" notes "serviceMonitor.enabled with metrics.scrapeAnnotations=false"
check "and that everything would be counted twice" notes "set metrics.scrapeAnnotations=false." --set serviceMonitor.enabled=true
for name in watched other team-a team-b; do k create namespace "$name" >/dev/null; done
# Whatever a release may have made, but for what Kubernetes itself makes in each namespace.
left() {
  k get "$(k api-resources --verbs=list -o name | grep -v '^events\|^endpoints\|^componentstatuses\|^customresourcedefinitions\|^apiservices' | paste -sd,)" \
    -A -o custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name --no-headers |
    grep -v ' kube-root-ca.crt$\|^ServiceAccount .* default$\|^Lease  *kube-system' | tr -s ' ' | sort
}
left >"$dir/before"
install() { # release and namespace, values
  helm install "$1" charts/mailverity --namespace "$1" --create-namespace --values "$here/values/$2.yaml"
}
check "one installation has everything" install mailverity-system everything
check "a second one stands beside it" install second second
check "and a third" install tuned tuned
again() {
  helm upgrade mailverity-system charts/mailverity --namespace mailverity-system --values "$here/values/everything.yaml" --set budgets.messagesPerHour=100
  k get deployment mailverity -n mailverity-system -o yaml | grep -qF -- --max-messages-per-hour=100
  helm rollback mailverity-system 1 --namespace mailverity-system
  k get deployment mailverity -n mailverity-system -o yaml | grep -qF -- --max-messages-per-hour=200
}
check "an upgrade, and back" again

restricted() {
  local found=0 of
  while IFS= read -r of; do
    found=$((found + 1))
    k get deployment "${of#*/}" -n "${of%%/*}" -o json |
      jq '{apiVersion: "v1", kind: "Pod", metadata: {name: "tried", namespace: .metadata.namespace}, spec: .spec.template.spec}
        | .spec.serviceAccountName = "default" | del(.spec.priorityClassName)' >"$dir/pod.json"
    k label namespace "${of%%/*}" pod-security.kubernetes.io/enforce=restricted --overwrite
    k create --dry-run=server -f "$dir/pod.json"
    # And it is looked at.
    ! jq '.spec.containers[0].securityContext.allowPrivilegeEscalation = true' "$dir/pod.json" | k create --dry-run=server -f - || return 1
  done < <(k get deployments -A -o json | jq -r '.items[] | .metadata.namespace + "/" + .metadata.name')
  ((found >= 4))
}
check "every pod is admitted under Pod Security restricted" restricted

may() { # yes|no user namespace verb resource [group...]
  local said
  said=$(k auth can-i "$4" "$5" -n "$3" --as "$2" "${@:6}" 2>/dev/null || true)
  [ "$said" = "$1" ] || { echo "$2 may $4 $5 in $3: $said" && return 1; }
}
scoped() {
  local whole=system:serviceaccount:mailverity-system:mailverity second=system:serviceaccount:second:second
  may yes $whole other get secrets
  may yes $whole other list secrets
  may no $whole other update secrets
  may no $whole other create mailservers.mailverity.dev
  may yes $second watched get secrets
  may no $second watched list secrets
  may no $second other get secrets
  may no $second other get mailservers.mailverity.dev
  may yes $second second get leases/second
  may no $second mailverity-system get leases/mailverity
}
check "an operator of some namespaces has rights in no other" scoped

users() {
  local role
  for role in view edit admin; do
    k create rolebinding "mail-$role" --clusterrole "mail-$role" --user "$role" -n other
    may yes "$role" other list emailprofiles.mailverity.dev
    may no "$role" other get secrets
    may no "$role" other list actortasks.mailverity.dev
    may no "$role" other patch mailservers.mailverity.dev --subresource status
    may no "$role" other create actors.mailverity.dev
  done
  may no view other create mailservers.mailverity.dev
  may yes edit other create mailservers.mailverity.dev
  may no edit other create mailreceivers.mailverity.dev
  may yes admin other create mailreceivers.mailverity.dev
  k create rolebinding on-call --role mail-pause --user on-call -n mailverity-system
  may yes on-call mailverity-system create configmaps/mailverity-pause
  may yes on-call mailverity-system patch configmaps/mailverity-pause
  may no on-call mailverity-system patch configmaps/other
  may no on-call other patch configmaps/mailverity-pause
}
check "mail-view, mail-edit, mail-admin and mail-pause let their users do what they say, and no more" users

uninstall() {
  local name
  for name in mailverity-system second tuned; do helm uninstall "$name" --namespace "$name"; done
  k delete rolebinding mail-view mail-edit mail-admin -n other
  k delete namespace mailverity-system second tuned
  k wait --for=delete namespace mailverity-receiver second-receiver mx mail-actor-dmz mail-actor-branch lab-tasks --timeout=60s
  left | diff "$dir/before" - || { echo "this is left" && return 1; }
  helm uninstall mailverity-crds
  [ "$(k get crd -o name | grep -c mailverity.dev)" = "$(find crds -name '*.yaml' | wc -l)" ]
}
check "an uninstall leaves the kinds and nothing else" uninstall
