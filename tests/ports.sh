# shellcheck shell=bash
# Sourced: `free_ports N` prints N loopback ports that nobody listens on, below the range that the kernel hands out to
# clients. Another process may still take one before its daemon does: whoever starts the daemon tries again then.

free_ports() {
  local low=20000 high port found=()
  read -r high _ </proc/sys/net/ipv4/ip_local_port_range
  if ((high < low + 4096)); then low=10000; fi # a machine whose client range begins unusually low
  while ((${#found[@]} < $1)); do
    port=$((low + (RANDOM * 32768 + RANDOM) % (high - low)))
    case " ${found[*]} " in *" $port "*) continue ;; esac
    if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then found+=("$port"); fi
  done
  echo "${found[@]}"
}
