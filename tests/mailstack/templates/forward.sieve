# Sends every mail on to its envelope sender; nothing in it is changed.
require ["envelope", "variables"];
# Once only.
if header :contains "X-Sieve-Redirected-From" "forward@remote.test" { discard; stop; }
if envelope :matches "from" "*" { redirect "${1}"; }
