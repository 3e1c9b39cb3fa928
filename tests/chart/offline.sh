# shellcheck shell=bash disable=SC2154 # dir, here and bin are run's
# What needs no API server; read by run.

lint() { helm lint --strict --quiet charts/mailverity-crds && helm lint --strict --quiet charts/mailverity --values "$1"; }
for values in "$here"/values/*.yaml; do
  check "lint with $(basename "$values")" lint "$values"
done

# The first line of the file has the words.
refused() {
  local words said
  words=$(sed -n '1s/^# refused: //p' "$1")
  [ -n "$words" ] || { echo "$1 does not begin with '# refused: '" && return 1; }
  said=$(render --values "$1" 2>&1) && { echo "it was taken" && return 1; }
  grep -qF -- "$words" <<<"$said" || { printf 'not in it: %s\n%s\n' "$words" "$said" && return 1; }
}
for values in "$here"/bad/*.yaml; do
  check "refused: $(basename "$values" .yaml)" refused "$values"
done

rendered_files() {
  local fresh=$dir/rendered
  mkdir -p "$fresh"
  cp -r crds "$fresh/"
  scripts/render.sh "$fresh"
  for folder in charts/mailverity-crds/templates deploy/{operator,tokens,identity,agent,receiver}; do diff -ru "$folder" "$fresh/$folder"; done
  diff -u deploy/install.yaml "$fresh/deploy/install.yaml" || { echo "run make generate" && return 1; }
}
check "deploy/, whose roles the cluster tests run with, is what the chart renders" rendered_files

kustomize() { [ "$(k kustomize deploy | grep -c '^kind: ')" = "$(grep -c '^kind: ' deploy/install.yaml)" ]; }
check "the Kustomize base has all of install.yaml" kustomize

versions() {
  local wanted file
  wanted=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
  for file in charts/*/Chart.yaml; do
    [ "$(grep -cx "version: $wanted\|appVersion: \"$wanted\"" "$file")" = 2 ] || { echo "$file is not $wanted" && return 1; }
  done
}
check "the charts have the program's version" versions

# The tables of docs/ are held to the program by tests/offline/pages.rs.
flags_are_values() { # page folder ignored-pattern heading lines
  local told missing
  told=$(sed -n "/^#* *$4/,\$p" "docs/$1" | grep -- "$5" | grep -o -- '--[a-z][a-z-]*' | grep -vxE -- "$3" | sort -u)
  [ "$(wc -l <<<"$told")" -gt 5 ]
  missing=$(comm -23 <(echo "$told") <(for values in "$here"/values/*.yaml; do
    render --values "$values" | awk -v start="# Source: mailverity/templates/$2/" '/^# Source/ { on = index($0, start) } on'
  done | grep -o -- '^ *- "\?--[a-z-]*' | grep -o -- '--[a-z-]*' | sort -u))
  [ -z "$missing" ] || { echo "no value for $missing" && return 1; }
}
# Its own namespace is the pod's; a CA file is one of extraCABundle's.
check "every flag of the operator is a value" flags_are_values operate.md operator '--operator-namespace|--token-ca-file' 'Operate it' '^| --'
check "every flag of a receiver is a value" flags_are_values receiver.md receiver '--receiver-namespace|--domain' 'What becomes of a mail' .
check "every flag of an agent is a value" flags_are_values actors.md agent '--namespace|--metrics-address' 'Look from' '^| --'

all_reasons() {
  local file
  for file in charts/mailverity/templates/*/3*role*.yaml; do
    awk -v file="$file" '
      /^  - apiGroups:/ && before !~ /^  #/ { print file ": no reason beside: " $0; bad = 1 }
      { before = $0 }
      END { exit bad }' "$file"
  done
}
check "a reason stands beside every rule" all_reasons

# Those of the accounts; people's roles are in docs/install.md.
told_rights() {
  local file
  for file in deploy/{operator/3[0-4],tokens/,identity/,receiver/3,agent/3}*.yaml; do
    k annotate --local -f "$file" seen=yes -o json | jq -r 'select(.rules).rules[]
      | "| \(.resources + (.resourceNames // [] | map(" " + .)) | join(", ") | gsub(",  "; " ")) | \(.verbs | join(", ")) |"'
  done | sort >"$dir/rights"
  [ "$(wc -l <"$dir/rights")" -gt 30 ]
  sed -n '/^## What the operator may do/,/^## What it promises/p' docs/security.md |
    awk -F ' *[|] *' 'NF == 6 && $3 ~ /^[a-z]/ && $3 != "resources" { print "| " $3 " | " $4 " |" }' | sort | diff "$dir/rights" -
}
check "docs/security.md has every right of every account" told_rights

rules=$dir/rules
mkdir -p "$rules"
alerts() {
  render --set prometheusRule.enabled=true --show-only templates/monitoring/prometheusrule.yaml |
    sed -n '/^spec:/,$ { /^spec:/d; s/^  //; p }' >"$rules/rules.yaml"
  cp "$here"/rules/*.yaml "$rules/"
  promtool check rules "$rules/rules.yaml"
  (cd "$rules" && promtool test rules mailverity_test.yaml)
}
check "alerts fire when they should, and not before" alerts

names() { sed -n 's/^ *- alert: //p' charts/mailverity/rules/mailverity.yaml; }
runbooks() {
  local name page
  for name in $(names); do
    grep -q "alertname: $name$\|alertname: $name," "$here/rules/mailverity_test.yaml" || { echo "no case for $name" && return 1; }
    [ "$(head -n 1 "docs/runbooks/$name.md")" = "# $name" ] || { echo "docs/runbooks/$name.md is missing, or has another title" && return 1; }
    grep -qF "($name.md)" docs/runbooks/README.md || { echo "$name is not in docs/runbooks/README.md" && return 1; }
  done
  for page in docs/runbooks/Mail*.md; do
    names | grep -qx "$(basename "$page" .md)" || { echo "$page is of no alert" && return 1; }
  done
}
check "every alert has a case and a page" runbooks

dashboard=charts/mailverity/dashboards/mailverity.json
queries() {
  # What Grafana puts in, put in here.
  # shellcheck disable=SC2016 # they are Grafana's variables
  jq -r '.panels[].targets[].expr' "$dashboard" | sed 's/\$__rate_interval/5m/g; s/\$job/.*/g; s/\$namespace/.*/g' |
    jq -Rn '{groups: [{name: "dashboard", rules: [inputs | {record: "query", expr: .}]}]}' >"$rules/dashboard.json"
  promtool check rules --lint=none "$rules/dashboard.json"
  jq -e '[.panels[].id] | length == (unique | length)' "$dashboard"
}
# That the metrics exist is shown by tests/offline/pages.rs.
check "every query of the dashboard is PromQL" queries

check "Argo CD sees each state as it is" lua5.1 "$here/health.lua"
