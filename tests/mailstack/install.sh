#!/bin/bash
# install.sh: the packages of the mail stack, and of the networks that tests make, as far as they are missing.
exec "$(dirname "$0")/../../scripts/packages.sh" mailstack \
  postfix dovecot-core dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-sieve winbind openssl iproute2 swaks libnet-ssleay-perl unbound
