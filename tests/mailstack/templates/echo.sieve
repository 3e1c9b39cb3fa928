# Sends every mail back to the address in its From header.
require ["variables"];
# Once only: what comes back to us was ours.
if header :contains "X-Sieve-Redirected-From" "echo@remote.test" { discard; stop; }
if address :matches "from" "*" { redirect "${1}"; }
