#!/usr/bin/env bash
# One PostgreSQL cluster of a test's own, on loopback and with fsync as in production. Sourced for its
# functions, or run on a cluster that they made:
#   database.sh start|stop|kill|pause|resume|pid DIR    stop is a fast shutdown, kill is kill -9 of every process
# initdb and the start take some 2 seconds on two cores.

SERVERS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/support/servers/process.sh
. "$SERVERS/process.sh"

# PostgreSQL refuses to run as root: then it runs as the user that Debian's package makes.
AS_POSTGRES=()
[ "$(id -u)" != 0 ] || AS_POSTGRES=(setpriv --reuid=postgres --regid=postgres --init-groups --)

# Prints the directory of the newest PostgreSQL's programs: Debian keeps them out of PATH.
postgres_bin() {
    find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | sort -V | tail -n 1 | xargs -r dirname
}

# Makes the cluster with one superuser, `tidegate`. CERTIFICATE and KEY switch TLS on beside plain text.
database_prepare() { # DIR PORT PASSWORD CERTIFICATE KEY
    local dir=$1 bin
    bin=$(postgres_bin)
    mkdir -p "$dir"
    cp "$4" "$dir/server.crt"
    cp "$5" "$dir/server.key"
    printf '%s\n' "$3" >"$dir/password"
    chmod 600 "$dir/server.key" "$dir/password"
    [ "$(id -u)" != 0 ] || chown -R postgres: "$dir"
    # Nothing in an empty cluster is worth waiting for the disk.
    (cd "$dir" && "${AS_POSTGRES[@]}" "$bin/initdb" -D "$dir/data" -U tidegate --pwfile="$dir/password" \
        --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$dir/initdb.log" 2>&1) ||
        { cat "$dir/initdb.log" >&2 && return 1; }
    cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $2
unix_socket_directories = '$dir'
ssl = on
ssl_cert_file = '$dir/server.crt'
ssl_key_file = '$dir/server.key'
max_connections = 400
shared_buffers = 64MB
max_wal_size = 512MB
logging_collector = off
CONF
    echo "$2" >"$dir/port"
}

database_launch() { # DIR
    # What a killed server left behind would look ready, or like another server: in a container that reaps no
    # orphans its process id stays taken.
    rm -f "$1/data/postmaster.pid" "$1"/.s.PGSQL.*
    (cd "$1" && exec "${AS_POSTGRES[@]}" setsid "$(postgres_bin)/postgres" -D "$1/data" >>"$1/log" 2>&1 </dev/null) &
    disown
}

# The server names itself in its pid file, and in that file's last line whether it takes connections.
database_wait() { # DIR
    local end=$((SECONDS + 60))
    until [ "$(sed -n '8s/ *$//p' "$1/data/postmaster.pid" 2>/dev/null)" = ready ]; do
        if [ "$SECONDS" -ge "$end" ]; then
            echo "PostgreSQL in $1 is not ready in time" >&2
            tail -n 20 "$1/log" >&2
            return 1
        fi
        sleep 0.05
    done
    head -n 1 "$1/data/postmaster.pid" >"$1/pid"
}

database_stop() { # DIR
    kill -INT "$(cat "$1/pid")" && database_gone "$1"
}

# Ends without a checkpoint, like a crash, but leaves no shared memory behind.
database_abandon() { # DIR
    kill -QUIT "$(cat "$1/pid")" && database_gone "$1"
}

# The server first: it would answer the death of one of its processes by restarting the others.
database_kill() { # DIR
    local pid children
    pid=$(cat "$1/pid")
    children=$(ps -o pid= --ppid "$pid")
    kill -KILL "$pid"
    for child in $children; do kill -KILL "$child" 2>/dev/null || true; done
    database_gone "$1"
}

database_signal() { # DIR SIGNAL
    local pid
    pid=$(cat "$1/pid")
    for each in "$pid" $(ps -o pid= --ppid "$pid"); do kill "-$2" "$each" || true; done
}

database_gone() { # DIR
    process_gone "$(cat "$1/pid")"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    case "${1:-} ${2:-}" in
    "start "?*) database_launch "$2" && database_wait "$2" ;;
    "stop "?*) database_stop "$2" ;;
    "kill "?*) database_kill "$2" ;;
    "pause "?*) database_signal "$2" STOP ;;
    "resume "?*) database_signal "$2" CONT ;;
    "pid "?*) cat "$2/pid" ;;
    *)
        sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
        exit 64
        ;;
    esac
fi
