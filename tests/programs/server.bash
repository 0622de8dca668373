# What the scenarios of servers have in common; they source it. It ends all that they start, however they end.

name=${0##*/}
scratch=$PWD

fail() {
  echo "$name: $*" >&2
  exit 1
}

# Every program that is used must be there.
needs() {
  local program
  for program; do
    command -v "$program" >/dev/null || fail "$program is not installed; tests/programs/install installs it"
  done
}

started=()

# The process, started by this script or by its server, is ended with the script.
ends_with_us() { started+=("$@"); }

# Whether the process is there and is not a zombie.
lives() {
  local state
  state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) && [[ $state && $state != Z ]]
}

# Ends the processes, politely for five seconds.
stop() {
  local pid i
  for pid; do
    kill "$pid" 2>/dev/null || continue
    for ((i = 0; i < 250; i++)); do
      lives "$pid" || continue 2
      sleep 0.02
    done
    echo "$name: process $pid does not end when told to" >&2
    kill -KILL "$pid" 2>/dev/null || true
  done
}

stop_all() { [[ ${#started[@]} -eq 0 ]] || stop "${started[@]}"; }

trap stop_all EXIT
trap 'exit 143' TERM INT

# Waits until a command succeeds, for at most half a minute.
wait_until() {
  local i
  for ((i = 0; i < 1500; i++)); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.02
  done
  fail "waited in vain for: $*"
}

# The library is in the process if, and only if, it should be.
check_library() {
  local pid
  for pid; do
    if [[ ${UNDER:-} ]]; then
      grep -qF "${LIBRARY:?}" "/proc/$pid/maps" || fail "process $pid runs without $LIBRARY"
    fi
  done
}

# The load proper, between these two, is what is timed.
load_begins() { load_start=$EPOCHREALTIME; }
load_ends() {
  local micros=$((${EPOCHREALTIME/./} - ${load_start/./}))
  printf '%d.%06d\n' $((micros / 1000000)) $((micros % 1000000)) >"$METRICS/seconds"
}

# Takes what the processes of a server have used so far: the memory of each at its own peak, and the processors.
record_server() {
  local pid kib=0 ticks=0 fields
  for pid; do
    kib=$((kib + $(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$pid/status")))
    # After the name, which may hold anything: user and system time are the 12th and 13th, then those of its children.
    read -ra fields <<<"$(sed 's/.*) //' "/proc/$pid/stat")"
    ticks=$((ticks + fields[11] + fields[12] + fields[13] + fields[14]))
  done
  echo "$kib" >"$METRICS/peak_kib"
  local hundredths=$((ticks * 100 / $(getconf CLK_TCK)))
  printf '%d.%02d\n' $((hundredths / 100)) $((hundredths % 100)) >"$METRICS/cpu_seconds"
}

# A TCP port of loopback at which nobody listens.
free_port() {
  perl -MIO::Socket::INET -e '
    my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 0, Listen => 1) or die "no port: $!";
    print $s->sockport'
}

# Standard input as one line of output: what it is called, and a digest of it.
digest() { printf '%s %s\n' "$1" "$(sha256sum | cut -d' ' -f1)"; }
