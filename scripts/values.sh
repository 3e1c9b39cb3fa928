#!/bin/bash
# values.sh [DIR]: writes docs/values.md, the reference of the chart's values, into the repository or into DIR. It is made from
# charts/mailverity/values.yaml: the comment over a value, or behind it, is its meaning; commented lines below one are an example of it.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.}
mkdir -p "$out/docs"
awk '
  function cell(text) { gsub(/\|/, "\\|", text); gsub(/</, "\\&lt;", text); return text }
  function code(text) { return text == "" ? "" : "`" text "`" }
  # The row of the value that was read last: what follows it, list items and examples, was still a part of it.
  function row() {
    if (items != "") value = "[" items "]"
    if (path == section) intro[section] = meaning == "" ? "" : meaning "\n\n"
    else if (value meaning != "") rows[section] = rows[section] "| `" path "` | " code(cell(value)) " | " cell(meaning) " |\n"
    path = value = items = meaning = ""
  }
  /^#/ && path != "" && said == "" {
    sub(/^# ?/, "")
    if (!(path in example)) examples[++shown] = path
    example[path] = example[path] $0 "\n"
    next
  }
  /^ *#/ { sub(/^ *# ?/, ""); said = said (said == "" ? "" : " ") $0; next }
  /^ *$/ { if (path != "") row(); said = ""; next }
  /^ *- / { sub(/^ *- /, ""); items = items (items == "" ? "" : ", ") $0; next }
  {
    if (path != "") row()
    depth = match($0, /[^ ]/) - 1
    key = rest = substr($0, depth + 1)
    sub(/:.*/, "", key)
    sub(/^[^:]*: */, "", rest)
    keys[depth / 2] = key
    path = keys[0]
    for (i = 1; i <= depth / 2; i++) path = path "." keys[i]
    if (depth == 0) {
      section = rest == "" ? key : ""
      if (section != "") order[++count] = section
    }
    if (match(rest, / +# /)) {
      said = said (said == "" ? "" : " ") substr(rest, RSTART + RLENGTH)
      rest = substr(rest, 1, RSTART - 1)
    }
    value = rest
    meaning = said
    said = ""
  }
  END {
    if (path != "") row()
    head = "| value | default | |\n|---|---|---|\n"
    printf "<!-- Made from charts/mailverity/values.yaml by `make generate`; changes belong there. -->\n"
    printf "# Values of the chart\n\n"
    printf "Each value of `charts/mailverity`, with its default. What is not here is refused. [install.md](install.md#values-by-task) has\n"
    printf "them by task.\n\n## At the top\n\n%s%s", head, rows[""]
    for (i = 1; i <= shown; i++) printf "\nWhat one of `%s` may have:\n\n```yml\n%s```\n", examples[i], example[examples[i]]
    for (i = 1; i <= count; i++) printf "\n## %s\n\n%s%s%s", order[i], intro[order[i]], head, rows[order[i]]
  }' charts/mailverity/values.yaml >"$out/docs/values.md"
