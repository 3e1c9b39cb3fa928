#!/bin/sh
# Samba's NTLM server with one local user: no winbindd and no domain behind it. Dovecot adds the protocol option.
exec /usr/bin/ntlm_auth "$@" --username=alice --password=alice-secret --domain=EXAMPLE --configfile=@HOME@/dovecot/smb.conf
