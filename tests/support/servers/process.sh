# shellcheck shell=bash
# What starting a server needs: free ports on loopback, and waiting with a bound. Sourced.

# Sets TAKEN to the first of COUNT free ports in a row and holds them with a lock on descriptor 8 that
# the caller and what it starts inherit, so that two runs at the same time never get the same ones.
# They lie below the range the kernel takes outgoing ports from.
take_ports() { # COUNT
    local count=$1 locks=/tmp/tidegate-test-ports base port try
    # Shared by every user of the machine, like /tmp itself.
    mkdir -m 1777 "$locks" 2>/dev/null || [ -d "$locks" ]
    for ((try = 0; try < 200; try++)); do
        base=$((20000 + (RANDOM % 600) * 20))
        exec 8>>"$locks/$base" || continue
        flock -n 8 || continue
        for ((port = base; port < base + count; port++)); do
            if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue 2; fi
        done
        # shellcheck disable=SC2034  # read by the scripts that source this one
        TAKEN=$base
        return 0
    done
    echo "no $count free ports in a row between 20000 and 32000" >&2
    return 1
}

# Waits until CHECK… succeeds: at most SECONDS, and only while the process PID lives.
wait_until() { # WHAT SECONDS PID CHECK…
    local what=$1 end=$((SECONDS + $2)) pid=$3
    shift 3
    until "$@" >/dev/null 2>&1; do
        if ! kill -0 "$pid" 2>/dev/null; then
            echo "$what ended while it started" >&2
            return 1
        fi
        if [ "$SECONDS" -ge "$end" ]; then
            echo "$what is not ready in time" >&2
            return 1
        fi
        sleep 0.05
    done
}

# Waits at most 30 seconds until the process has ended.
process_gone() { # PID
    local end=$((SECONDS + 30)) state
    while state=$(ps -o stat= -p "$1") && [ "${state#Z}" = "$state" ]; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "process $1 does not end" >&2
            return 1
        fi
        sleep 0.05
    done
}
