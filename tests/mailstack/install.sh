#!/bin/bash
# install.sh: the packages of the mail stack, as far as they are missing.
exec "$(dirname "$0")/../../scripts/packages.sh" mailstack \
  postfix dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-sieve winbind openssl
