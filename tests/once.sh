# shellcheck shell=bash
# Sourced: `once NAME WHAT FILE...` makes sure of programs that are built from Go modules, and prints their folder in the user's cache
# (MAILVERITY_CACHE overrides it), which all clones share. The function `programs FOLDER` builds them there; FILEs are what they are
# made of: a change of one of them, or of the script, builds them again. Exit code 3: there is no Go to build with.

once() {
  local name=$1 what=$2 cache recipe bin
  shift 2
  cache=${MAILVERITY_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/mailverity}
  recipe=$(cat "$@" "$0" | sha256sum | cut -c-16)
  bin=$cache/$name-$recipe
  if [ -e "$bin/.complete" ]; then
    echo "$bin"
    return
  fi
  if ! command -v go >/dev/null; then
    echo "$name: no Go to build $what with; tests/controlplane/build.sh says how to get it" >&2
    return 3
  fi

  mkdir -p "$cache"
  exec 9>"$cache/.$name.lock"
  flock 9 # two clones at once build once
  if [ ! -e "$bin/.complete" ]; then
    made=$(mktemp -d "$cache/$name.XXXXXX")
    trap 'rm -rf "$made"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    echo "$name: building $what from Go modules into $bin (minutes when nothing is cached)" >&2
    programs "$made" 9>&-
    touch "$made/.complete"
    chmod 755 "$made"
    rm -rf "$bin"
    mv "$made" "$bin"
    echo "$name: built in ${SECONDS} s" >&2
  fi
  exec 9>&-
  echo "$bin"
}
