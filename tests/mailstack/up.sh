#!/bin/bash
# up.sh DIR [ADDRESS]: a private Postfix and Dovecot on loopback, or on an address of this machine, on free ports; ready in about
# 2 s. Needs root, as Postfix does.
#
# DIR/env says where everything is, one NAME=value a line; README.md says what answers how. Any number of stacks can run
# at once. down.sh DIR ends it; so does an interrupted up.sh.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/ports.sh
. "$here/../ports.sh"
"$here/install.sh"
if [ "$(id -u)" != 0 ]; then
  echo "mailstack: Postfix changes users and needs root: run this as root" >&2
  exit 1
fi
PATH=$PATH:/usr/sbin:/sbin

mkdir -p "$1"
dir=$(cd "$1" && pwd)
address=${2:-127.0.0.1}
"$here/down.sh" "$dir"

ready=
trap '[ -n "$ready" ] || "$here/down.sh" "$dir"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Daemons that gave up root must reach their files, and paths of Unix sockets are short: DIR may be neither open nor short.
home=$(mktemp -d /tmp/mailverity-mail.XXXXXX)
echo "$home" >"$dir/home"
chmod 755 "$home"
mkdir -p "$home"/{tls,mail,samba,keys/default/HS256,sieve,dovecot/{run,state},postfix/{etc,spool,data}}
chown postfix "$home/postfix/data"
chown dovecot "$home/samba"
uid=$(id -u mail) gid=$(id -g mail)

# A CA that lives as long as the stack, and the server's certificate from it.
(
  cd "$home/tls"
  umask 077
  new=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
  openssl req -x509 "${new[@]}" -keyout ca.key -out ca.pem -days 30 -subj "/CN=mailstack test CA" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
  openssl req "${new[@]}" -keyout server.key -out server.csr -subj "/CN=mail.example.test"
  printf '%s\n' subjectAltName=DNS:mail.example.test,DNS:localhost,IP:127.0.0.1 basicConstraints=CA:FALSE extendedKeyUsage=serverAuth >server.ext
  openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -extfile server.ext -out server.pem
  chmod 644 ca.pem server.pem
) 2>"$home/tls/openssl.log" || { cat "$home/tls/openssl.log" >&2; exit 1; }

# CRAM-MD5, NTLM and APOP need passwords as they are. Dovecot reads the file again whenever it changes.
users=(alice@example.test probe@example.test inbound@example.test held@example.test boss@example.test echo@remote.test slow@remote.test
  vacation@remote.test away@remote.test forward@remote.test rewrite@remote.test)
for user in "${users[@]}"; do echo "$user:{PLAIN}${user%@*}-secret::::::"; done >"$home/dovecot/users"
chmod 644 "$home/dovecot/users"
jwt_secret=mailstack-hs256-secret-mailstack
printf %s "$jwt_secret" | base64 -w0 >"$home/keys/default/HS256/default"
for name in echo vacation away forward rewrite; do
  mkdir "$home/sieve/$name@remote.test"
  cp "$here/templates/$name.sieve" "$home/sieve/$name@remote.test/active.sieve"
done
# Who logs in by NTLM is in a domain of another name, and has the same mailbox.
mkdir "$home/mail/alice@example.test" && ln -s alice@example.test "$home/mail/alice@example"
chown -R "$uid:$gid" "$home/mail" "$home/sieve"

render() { # template target
  sed -e "s#@ADDRESS@#$address#g" -e "s#@HOME@#$home#g" -e "s#@UID@#$uid#g" -e "s#@GID@#$gid#g" -e "s#@SMTP@#$smtp#g" -e "s#@PLAIN@#$plain#g" \
    -e "s#@SUBMISSION@#$submission#g" -e "s#@SMTPS@#$smtps#g" -e "s#@IMAP@#$imap#g" -e "s#@IMAPS@#$imaps#g" \
    -e "s#@POP3@#$pop3#g" -e "s#@POP3S@#$pop3s#g" -e "s#@LMTP@#$lmtp#g" -e "s#@RECEIVER@#$receiver#g" -e "s#@RECEIVER_TLS@#$receiver_tls#g" -e "s#@NAME@#${home##*.}#g" "$here/templates/$1" >"$2"
}

start() {
  read -r smtp plain submission smtps imap imaps pop3 pop3s lmtp receiver receiver_tls <<<"$(free_ports 11)"
  for file in main.cf master.cf mailboxes headers recipients owners transport; do render "$file" "$home/postfix/etc/$file"; done
  # A receiver of a test's own has its port in its domain: the ports are those that tests take. A second one, as another pod, is
  # tried where the first is away.
  seq 20000 31999 | sed 's#.*#p&.receiver.test smtp:[127.0.0.1]:&,[127.0.0.2]:&#' >>"$home/postfix/etc/transport"
  for file in dovecot.conf dovecot-oauth2.conf ntlm.sh smb.conf; do render "$file" "$home/dovecot/$file"; done
  chmod 755 "$home/dovecot/ntlm.sh"
  # Postfix first: it makes the folder into which Dovecot puts the socket for logins. `postfix start` would sleep 2 s.
  postfix -c "$home/postfix/etc" check && /usr/lib/postfix/sbin/master -c "$home/postfix/etc" -w &&
    dovecot -c "$home/dovecot/dovecot.conf"
}

for attempt in 1 2 3 4 5; do
  if start >"$home/start.log" 2>&1 </dev/null; then ready=1 && break; fi
  if ! grep -qi 'address already in use' "$home/start.log" "$home/postfix/maillog" 2>/dev/null || ((attempt == 5)); then
    cat "$home/start.log" "$home/postfix/maillog" >&2 2>/dev/null || true
    exit 1
  fi
  postfix -c "$home/postfix/etc" stop >/dev/null 2>&1 || true # somebody else was quicker: other ports
  : >"$home/postfix/maillog"
done

cat >"$dir/env" <<EOT
HOST=localhost
SMTP_PORT=$smtp
PLAIN_PORT=$plain
SUBMISSION_PORT=$submission
SMTPS_PORT=$smtps
IMAP_PORT=$imap
IMAPS_PORT=$imaps
POP3_PORT=$pop3
POP3S_PORT=$pop3s
RECEIVER_PORT=$receiver
RECEIVER_TLS_PORT=$receiver_tls
CA_FILE=$home/tls/ca.pem
USERS_FILE=$home/dovecot/users
MAIL_DIR=$home/mail
DOVECOT_LOG=$home/dovecot/dovecot.log
POSTFIX_LOG=$home/postfix/maillog
JWT_SECRET=$jwt_secret
NTLM_DOMAIN=EXAMPLE
EOT
echo "mailstack: $dir/env"
