#!/bin/bash
# sbom.sh TARGET PROGRAM: what is built into one of the programs, as CycloneDX 1.6, to standard output: every crate with its version,
# licence and checksum, and which brings which. Without a clock or a chance in it: the same Cargo.lock gives the same bytes.
#
# Crates that only tests or build scripts use are not in the program, and not in it.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/packages.sh sbom jq >&2
# [[package]] tables of Cargo.lock, as name@version: checksum.
checksums=$(awk -F '"' '
  /^name = / { name = $2 }
  /^version = / { version = $2 }
  /^checksum = / { printf "%s\t%s\n", name "@" version, $2 }' Cargo.lock | jq -Rn '[inputs | split("\t") | {key: .[0], value: .[1]}] | from_entries')
cargo metadata --format-version 1 --locked --filter-platform "$1" | jq --arg program "$2" --argjson checksums "$checksums" '
  (.packages | INDEX(.id)) as $packages
  # What a crate is linked with: dependencies of kind null, but for those that run in the compiler.
  | (.resolve.nodes | INDEX(.id) | map_values([.deps[] | select(any(.dep_kinds[]; .kind == null)) | .pkg
      | select($packages[.].targets | all(.kind != ["proc-macro"]))] | unique)) as $uses
  | .resolve.root as $root
  | def reached: . as $seen | ([.[] | $uses[.][]] + . | unique) as $more | if $more == $seen then . else $more | reached end;
  ([$root] | reached) as $all
  | def purl: "pkg:cargo/\(.name)@\(.version)";
  def component: {type: "library", "bom-ref": purl, name, version, purl: purl}
    + if .license then {licenses: [{expression: (.license | gsub("/"; " OR "))}]} else {} end
    + ($checksums["\(.name)@\(.version)"] as $sum | if $sum then {hashes: [{alg: "SHA-256", content: $sum}]} else {} end)
    + if .repository then {externalReferences: [{type: "vcs", url: .repository}]} else {} end;
  {bomFormat: "CycloneDX", specVersion: "1.6", version: 1,
    metadata: {component: ($packages[$root] | component | .type = "application" | .name = $program)},
    components: [$all[] | select(. != $root) | $packages[.] | component] | sort_by(."bom-ref"),
    dependencies: [$all[] | {ref: ($packages[.] | purl), dependsOn: [$uses[.][] | $packages[.] | purl] | sort}] | sort_by(.ref)}'
