# Sends every mail on to its envelope sender, with another address in From: as a server that puts the account there.
require ["editheader", "envelope", "variables"];
# Once only.
if header :contains "X-Sieve-Redirected-From" "rewrite@remote.test" { discard; stop; }
deleteheader "From";
addheader "From" "account@remote.test";
if envelope :matches "from" "*" { redirect "${1}"; }
