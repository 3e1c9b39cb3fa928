#!/bin/bash
# up.sh DIR: a private OpenID provider over HTTPS on loopback, on a free port; ready in about 1 s. DIR/env says where it is, one
# NAME=value a line; README.md says what it answers. down.sh DIR ends it; so does an interrupted up.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/ports.sh
. "$here/../ports.sh"
modules=$("$here/install.sh")

mkdir -p "$1"
dir=$(cd "$1" && pwd)
"$here/down.sh" "$dir"
ready=
trap '[ -n "$ready" ] || "$here/down.sh" "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
home=$(mktemp -d /tmp/mailverity-identity.XXXXXX)
echo "$home" >"$dir/home"

# A CA that lives as long as the provider, its certificate from it, and the certificate of a client that has no secret.
(
  cd "$home"
  umask 077
  new=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  openssl req -x509 "${new[@]}" -keyout ca.key -out ca.pem -days 30 -subj "/CN=identity test CA" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
  openssl req "${new[@]}" -keyout server.key -out server.csr -subj "/CN=localhost"
  printf '%s\n' subjectAltName=DNS:localhost,IP:127.0.0.1 basicConstraints=CA:FALSE extendedKeyUsage=serverAuth >server.ext
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -extfile server.ext -out server.pem
  openssl req -x509 -newkey rsa:2048 -nodes -keyout client.key -out client.pem -days 30 -subj "/CN=alice-key"
) 2>"$home/openssl.log" || { cat "$home/openssl.log" >&2; exit 1; }
# The mail stack's Dovecot takes what this signs: see jwt_secret in tests/mailstack/up.sh.
printf %s mailstack-hs256-secret-mailstack >"$home/jwt.key"
# Modules are looked for beside the program.
cp "$here/provider.mjs" "$home/" && ln -s "$modules" "$home/node_modules"

for attempt in 1 2 3 4 5; do
  port=$(free_ports 1)
  : >"$home/provider.log"
  NODE_ENV=production setsid node "$home/provider.mjs" "$home" "$port" >"$home/provider.log" 2>&1 </dev/null &
  pid=$!
  echo "$pid" >"$home/pid"
  for _ in {1..200}; do
    if grep -qx ready "$home/provider.log"; then ready=1 && break 2; fi
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  if ! grep -qi 'EADDRINUSE' "$home/provider.log" || ((attempt == 5)); then
    cat "$home/provider.log" >&2
    exit 1
  fi
done

cat >"$dir/env" <<EOT
TOKEN_URL=https://localhost:$port/token
PAGE_URL=https://localhost:$port/auth
DEVICE_URL=https://localhost:$port/device/auth
TEST_URL=https://localhost:$port/test
PORT=$port
CA_FILE=$home/ca.pem
CLIENT_CERTIFICATE=$home/client.pem
CLIENT_KEY=$home/client.key
LOG=$home/provider.log
EOT
echo "identity: $dir/env"
