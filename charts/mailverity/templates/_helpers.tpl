{{/* The labels of an object, from the name that its kind of pods has. Context: {root, name, own: those that go before commonLabels}. */}}
{{- define "mailverity.labels" -}}
app.kubernetes.io/name: {{ .name }}
{{- if ne .root.Values.operatorName "mailverity" }}
app.kubernetes.io/instance: {{ .root.Values.operatorName }}
{{- end }}
{{- with merge (dict) (.own | default dict) (.root.Values.commonLabels | default dict) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mailverity.operator.labels" -}}
{{ include "mailverity.labels" (dict "root" . "name" "mailverity") }}
{{- end }}

{{- define "mailverity.receiver.labels" -}}
{{ include "mailverity.labels" (dict "root" . "name" "mailverity-receiver") }}
{{- end }}

{{- define "mailverity.agent.labels" -}}
{{ include "mailverity.labels" (dict "root" . "name" "mailverity-agent") }}
{{- end }}

{{/* What a Deployment knows its pods by. Never changed: Kubernetes forbids it. Context: {root, name}. */}}
{{- define "mailverity.selector" -}}
app.kubernetes.io/name: {{ .name }}
{{- if ne .root.Values.operatorName "mailverity" }}
app.kubernetes.io/instance: {{ .root.Values.operatorName }}
{{- end }}
{{- end }}

{{/* The receivers' objects: those in the cluster or in the operator's namespace must not meet those of another installation. */}}
{{- define "mailverity.receiver.name" -}}
{{ .Values.operatorName }}-receiver
{{- end }}

{{- define "mailverity.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{- define "mailverity.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The subject of what binds the operator. */}}
{{- define "mailverity.operator.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ .Values.operatorName }}
    namespace: {{ .Release.Namespace }}
{{- end }}

{{- define "mailverity.receiver.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "mailverity.receiver.name" . }}
    namespace: {{ .Values.receiver.namespace }}
{{- end }}

{{/* A ClusterRole bound to the whole cluster, or in each namespace that is looked after.
     Context: {root, role, labels, subjects}. */}}
{{- define "mailverity.bind" -}}
{{- $given := . }}
{{- range .root.Values.watchNamespaces | default (list "") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ if . }}RoleBinding{{ else }}ClusterRoleBinding{{ end }}
metadata:
  name: {{ $given.role }}
  {{- with . }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- $given.labels | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $given.role }}
{{ $given.subjects }}
{{- end }}
{{- end }}

{{/* Pod Security `restricted`. */}}
{{- define "mailverity.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "mailverity.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* The downward API: {variable: path}. */}}
{{- define "mailverity.fields" -}}
{{- range $name, $path := . }}
- name: {{ $name }}
  valueFrom:
    fieldRef:
      fieldPath: {{ $path }}
{{- end }}
{{- end }}

{{/* Where mail connections may go, as flags. Context: {reach, egressProxy}. */}}
{{- define "mailverity.reach" -}}
{{- $reach := .reach | default dict }}
{{- if not (kindIs "invalid" $reach.denyCIDRs) }}
- --deny-cidrs={{ join "," $reach.denyCIDRs }}
{{- end }}
{{- with $reach.allowedPorts }}
- --allowed-ports={{ include "mailverity.ports" . }}
{{- end }}
{{- with $reach.nameservers }}
- --nameservers={{ join "," . }}
{{- end }}
{{- with (.egressProxy | default dict).url }}
- --egress-proxy={{ . }}
{{- end }}
{{- end }}

{{/* Numbers that come from YAML are floats. */}}
{{- define "mailverity.ports" -}}
{{- $all := list }}
{{- range . }}{{ $all = append $all (kindIs "string" . | ternary . (int . | toString)) }}{{ end }}
{{- join "," $all }}
{{- end }}

{{/* A variable that holds the URL of a proxy, from a value or from a Secret. Context: {name, of: {url, secretRef}}. */}}
{{- define "mailverity.proxyVariable" -}}
{{- $secret := (.of | default dict).secretRef | default dict }}
{{- if $secret.name }}
# In the environment, as a process list shows what a command line holds.
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name }}
      key: {{ $secret.key | default "url" }}
{{- else if (.of | default dict).url }}
- name: {{ .name }}
  value: {{ .of.url | quote }}
{{- end }}
{{- end }}

{{/* Variables of the environment. Context: {egressProxy, httpsProxy, ca}. */}}
{{- define "mailverity.env" -}}
{{- /* Its URL is a flag. */}}
{{- include "mailverity.proxyVariable" (dict "name" "MAILVERITY_EGRESS_PROXY" "of" (omit (.egressProxy | default dict) "url")) }}
{{- include "mailverity.proxyVariable" (dict "name" "HTTPS_PROXY" "of" .httpsProxy) }}
{{- with (.httpsProxy | default dict).noProxy }}
- name: NO_PROXY
  value: {{ join "," . | quote }}
{{- end }}
{{- with include "mailverity.caFolders" .ca | fromYamlArray }}
# Both are read once either is named.
- name: SSL_CERT_FILE
  value: /etc/ssl/certs/ca-certificates.crt
- name: SSL_CERT_DIR
  value: {{ join ":" . }}
{{- end }}
{{- end }}

{{/* The folders of extraCABundle, a YAML list: one each, so that files of one name do not meet. */}}
{{- define "mailverity.caFolders" -}}
{{- with . }}
{{- if .configMapName }}
- /etc/mailverity/ca/configmap
{{- end }}
{{- if .secretName }}
- /etc/mailverity/ca/secret
{{- end }}
{{- end }}
{{- end }}

{{/* The headers of traces, as a variable of the environment. Context: tracing. */}}
{{- define "mailverity.tracingEnv" -}}
{{- if and .endpoint .headersSecretRef.name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ .headersSecretRef.name }}
      key: {{ .headersSecretRef.key }}
{{- end }}
{{- end }}

{{/* What goes out to the collector of traces. Context: tracing. */}}
{{- define "mailverity.tracingEgress" -}}
{{- with .endpoint }}
{{- $url := urlParse . }}
# Traces.
- ports:
    - {port: {{ include "mailverity.portOf" (dict "of" $url.host "usual" (eq $url.scheme "https" | ternary "443" "80")) }}, protocol: TCP}
{{- end }}
{{- end }}

{{- define "mailverity.mounts" -}}
{{- with include "mailverity.caFolders" . | fromYamlArray }}
volumeMounts:
{{- range . }}
  - name: ca-{{ base . }}
    mountPath: {{ . }}
    readOnly: true
{{- end }}
{{- end }}
{{- end }}

{{- define "mailverity.volumes" -}}
{{- if include "mailverity.caFolders" . }}
volumes:
  {{- if .configMapName }}
  - name: ca-configmap
    configMap:
      name: {{ .configMapName }}
      {{- with .configMapKey }}
      items: [{key: {{ . }}, path: {{ . }}}]
      {{- end }}
  {{- end }}
  {{- if .secretName }}
  - name: ca-secret
    secret:
      secretName: {{ .secretName }}
      # Never all of it: a private key may lie beside.
      items: [{key: {{ .secretKey | default "ca.crt" }}, path: {{ .secretKey | default "ca.crt" }}}]
  {{- end }}
{{- end }}
{{- end }}

{{/* Where pods go, from .priorityClassName, .nodeSelector and their like. */}}
{{- define "mailverity.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Context: {constraints, selector}. */}}
{{- define "mailverity.spread" -}}
{{- $selector := dict "matchLabels" (fromYaml .selector) }}
topologySpreadConstraints:
{{- range .constraints }}
  - {{ toYaml (merge (dict) . (dict "labelSelector" $selector)) | nindent 4 | trim }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      {{- toYaml $selector | nindent 6 }}
{{- end }}
{{- end }}

{{- define "mailverity.probes" -}}
livenessProbe:
  httpGet:
    path: /livez
    port: metrics
  periodSeconds: 20
  timeoutSeconds: 5
readinessProbe:
  httpGet:
    path: /readyz
    port: metrics
  periodSeconds: 5
{{- end }}

{{/* Context: {root, own: podAnnotations}. */}}
{{- define "mailverity.podAnnotations" -}}
{{- $scrape := .root.Values.metrics.scrapeAnnotations }}
{{- if or $scrape .own }}
annotations:
  {{- if $scrape }}
  prometheus.io/scrape: "true"
  prometheus.io/port: {{ .root.Values.metrics.port | int | quote }}
  {{- end }}
  {{- with .own }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Ports that mail connections may go to, for a NetworkPolicy. */}}
{{- define "mailverity.mailPorts" -}}
{{- range (. | default dict).allowedPorts | default (list 25 465 587 2525 110 143 993 995) }}
{{- if and (kindIs "string" .) (contains "-" .) }}
- {port: {{ index (splitList "-" .) 0 }}, endPort: {{ index (splitList "-" .) 1 }}, protocol: TCP}
{{- else }}
- {port: {{ int . }}, protocol: TCP}
{{- end }}
{{- end }}
{{- end }}

{{/* The port in host:port, [address]:port or scheme://host:port, if one is there, else the usual one. Context: {of, usual}. */}}
{{- define "mailverity.portOf" -}}
{{- $place := .of | regexFind "[^/]+/?$" | trimSuffix "/" }}
{{- if regexMatch "^([^:]+|\\[.*\\]):[0-9]+$" $place }}{{ regexFind "[0-9]+$" $place }}{{ else }}{{ .usual }}{{ end }}
{{- end }}

{{/* What goes out of every pod: to name servers and to the API server. Context: {root, nameservers: those asked instead of the pod's}. */}}
{{- define "mailverity.basicEgress" -}}
{{- $dns := list "53" }}
{{- range .nameservers }}{{ $dns = append $dns (include "mailverity.portOf" (dict "of" . "usual" "53")) }}{{ end }}
# Name servers.
- ports:
    {{- range uniq $dns }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
# The API server.
- ports:
    {{- range .root.Values.networkPolicy.apiServerPorts }}
    - {port: {{ int . }}, protocol: TCP}
    {{- end }}
{{- with .root.Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* HTTPS, to providers of access tokens, Microsoft Graph and the Gmail API. Context: hosts that are allowed beside theirs. */}}
{{- define "mailverity.httpsEgress" -}}
{{- $ports := list "443" }}
{{- range . }}{{ $ports = append $ports (include "mailverity.portOf" (dict "of" . "usual" "443")) }}{{ end }}
# Providers of access tokens, Microsoft Graph and the Gmail API.
- ports:
    {{- range uniq $ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}

{{/* To a proxy, where its address is known. Context: {url}. */}}
{{- define "mailverity.proxyEgress" -}}
{{- with (. | default dict).url }}
# The proxy {{ . }}.
- ports:
    - {port: {{ include "mailverity.portOf" (dict "of" . "usual" (hasPrefix "socks5" . | ternary "1080" "3128")) }}, protocol: TCP}
{{- end }}
{{- end }}

{{/* Who scrapes. */}}
{{- define "mailverity.metricsIngress" -}}
# Scraping; the kubelet's probes are let in by the network plugin.
- ports:
    - {port: metrics, protocol: TCP}
  {{- with .Values.networkPolicy.metricsFrom }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* An agent with what was left out of it; YAML. Context: {root, actor}. */}}
{{- define "mailverity.agent" -}}
{{- $defaults := dict "zone" .actor.name "displayName" "" "namespace" (printf "mail-actor-%s" .actor.name)
  "createNamespace" true "createActor" true "deploy" true "suspend" false "heartbeatTimeout" "" "replicas" 1
  "allowedNamespaces" (dict "from" "All") "extraCABundle" .root.Values.extraCABundle
  "resources" (fromYaml "{requests: {cpu: 5m, memory: 16Mi}, limits: {memory: 64Mi}}") }}
{{- range $key, $value := .actor }}{{ $_ := set $defaults $key $value }}{{ end }}
{{- toYaml $defaults }}
{{- end }}

{{/* The namespace of firstMailServer: that of the release, unless only others are looked after. */}}
{{- define "mailverity.firstNamespace" -}}
{{- $watched := .Values.watchNamespaces }}
{{- $usual := or (not $watched) (has .Release.Namespace $watched) | ternary .Release.Namespace (first ($watched | default (list ""))) }}
{{- .Values.firstMailServer.namespace | default $usual }}
{{- end }}

{{/* The namespaces that pods of the release run in, with commas between. */}}
{{- define "mailverity.podNamespaces" -}}
{{- $all := list .Release.Namespace }}
{{- range .Values.actors }}
{{- $agent := fromYaml (include "mailverity.agent" (dict "root" $ "actor" .)) }}
{{- if $agent.deploy }}{{ $all = append $all $agent.namespace }}{{ end }}
{{- end }}
{{- if .Values.receiver.enabled }}{{ $all = append $all .Values.receiver.namespace }}{{ end }}
{{- join ", " $all }}
{{- end }}
