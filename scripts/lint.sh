#!/bin/bash
# lint.sh: everything that can be judged without running the product. Runs all of it, then fails if any of it failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
scripts/rust.sh || exit 1
failed=()
step() { # name command...
  printf '== lint: %s\n' "$1"
  "${@:2}" || failed+=("$1")
}

generated() {
  local fresh result=0 file
  fresh=$(mktemp -d) || return 1
  scripts/generate.sh "$fresh" || result=1
  while ((result == 0)) && IFS= read -r file; do
    diff -u "$file" "$fresh/$file" || result=2
  done < <(cd "$fresh" && find . -type f | sed 's#^\./##' | sort)
  # A file that is no longer generated must go. Without Go, deploy/ was left out.
  for file in crds/* charts/mailverity-crds/templates/* deploy/{operator,agent,receiver}/*; do
    if [ -e "$fresh/$(dirname "$file")" ] && [ -e "$file" ] && [ ! -e "$fresh/$file" ]; then
      echo "$file is not generated any more" && result=2
    fi
  done
  rm -rf "$fresh"
  ((result != 2)) || echo "run make generate"
  return "$result"
}

shell() {
  local file result=0
  while IFS= read -r file; do
    case "$(head -c 64 "$file" | head -n 1)" in '#!'*bash | '#!'*sh) bash -n "$file" || result=1 ;; esac
  done < <(find . \( -path ./.git -o -path ./target \) -prune -o -type f -print)
  return "$result"
}

step format cargo fmt --check
step clippy cargo clippy --quiet --all-targets --locked -- -D warnings
step 'clippy, tests by name' cargo clippy --quiet --test soak --test rights --locked -- -D warnings
step 'links in documentation' env RUSTDOCFLAGS='-D warnings' cargo doc --quiet --no-deps --lib --locked
step 'generated files' generated
step 'shell scripts' shell
if ((${#failed[@]})); then
  printf 'lint: failed: %s\n' "${failed[*]}" >&2
  exit 1
fi
echo "lint: clean"
