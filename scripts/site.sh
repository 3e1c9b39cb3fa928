#!/bin/bash
# site.sh: the documentation as a site, in target/site/. Builds mdbook into the user's cache if it is missing (MAILVERITY_CACHE
# overrides it): once for all clones.
#
# What mdbook gets is a copy. A page may lead to a file that is no page, which only the repository has: such links are made to lead
# there. README, CONTRIBUTING and CHANGELOG become pages beside the others.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.5.4
repository=https://github.com/mailverity/mailverity/blob/main

cache=${MAILVERITY_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/mailverity}
mdbook=$cache/mdbook-$version/bin/mdbook
if [ ! -x "$mdbook" ]; then
  scripts/rust.sh
  mkdir -p "$cache"
  exec 9>"$cache/.mdbook.lock"
  flock 9 # two clones at once build once
  if [ ! -x "$mdbook" ]; then
    echo "site: building mdbook $version into $cache (about 5 minutes)" >&2
    # Neither its server nor its watch is needed, only what searches. The folder of the build goes with the build.
    built=$(mktemp -d "$cache/mdbook.XXXXXX")
    trap 'rm -rf "$built"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    CARGO_TARGET_DIR=$built cargo install --quiet --locked --no-default-features --features search --root "$cache/mdbook-$version" \
      "mdbook@$version" 9>&-
    echo "site: built in ${SECONDS} s" >&2
  fi
fi

mkdir -p "${CARGO_TARGET_DIR:-target}"
target=$(cd "${CARGO_TARGET_DIR:-target}" && pwd)
book=$target/book site=$target/site
rm -rf "$book" "$site"
mkdir "$book"
cp -R book.toml docs "$book/"
cp README.md CONTRIBUTING.md CHANGELOG.md "$book/docs/"

pages='\(README\|CONTRIBUTING\|CHANGELOG\)\.md'
# A link without a colon is one within the repository; @ marks those that need no more.
sed -i -e 's#](docs/#](@#g' -e "s#]($pages#](@\1.md#g" -e "s#](\([A-Za-z.][^):]*)\)#]($repository/\1#g" -e 's#](@#](#g' \
  "$book"/docs/{README,CONTRIBUTING,CHANGELOG}.md
for page in "$book"/docs/*.md; do
  sed -i -e "s#](\.\./$pages#](\1.md#g" -e "s#](\.\./#]($repository/#g" "$page"
done
for page in "$book"/docs/*/*.md; do
  sed -i -e "s#](\.\./\.\./$pages#](../\1.md#g" -e "s#](\.\./\.\./#]($repository/#g" "$page"
done
# A folder's README is its index.
find "$book/docs" -name '*.md' -exec sed -i 's#](\([^):]*\)README\.md#](\1index.md#g' {} +
for page in "$book"/docs/{,*/}README.md; do mv "$page" "${page%README.md}index.md"; done
"$mdbook" build --dest-dir "$site" "$book"

missing=0
while IFS=: read -r page link; do
  link=${link#href=\"}
  [ -e "$(dirname "$page")/${link%[\"#]}" ] || { echo "site: $page links to ${link%[\"#]}, which is not there" >&2 && missing=1; }
done < <(grep -roE --include='*.html' 'href="[^":#]+["#]' "$site" | sort -u)
((missing == 0))
echo "site: $(find "$site" -name '*.html' | wc -l) pages, from $site/index.html on"
