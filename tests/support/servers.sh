#!/usr/bin/env bash
# A private RabbitMQ and a private PostgreSQL for tests and benchmarks, side by side with any others on
# the machine: own ports, own directory, own Erlang cookie. Debian's packages rabbitmq-server and postgresql.
#
#   servers.sh run CMD…      starts both, runs CMD with the variables below, stops both; CMD's exit status
#   servers.sh start DIR     starts both and leaves them running; `. DIR/env` sets the variables
#   servers.sh stop DIR      ends what `start DIR` started and removes DIR
#
#   TIDEGATE_TEST_AMQP       amqp://guest:…@127.0.0.1:PORT/%2f
#   TIDEGATE_TEST_AMQPS      the same over TLS, for `localhost` and 127.0.0.1
#   TIDEGATE_TEST_POSTGRES   postgres://tidegate:…@127.0.0.1:PORT/postgres, a superuser; the port speaks TLS too
#   TIDEGATE_TEST_CA         PEM file of the authority that issued both certificates
#   TIDEGATE_TEST_RABBITMQCTL  a program: rabbitmqctl against this broker
#   TIDEGATE_TEST_SERVERS    the directory, with two programs: `rabbitmq` and `postgres`
#                            start|stop|kill|pause|resume|pid
#
# Both start at the same time: 5 to 6 seconds on two cores, 8 on a cold disk; ending takes half a second.
# With TIDEGATE_TEST_KEEP=1, `run` leaves the directory with data and logs. With the variables set already, `run` only runs CMD.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/support/servers/broker.sh
. "$HERE/servers/broker.sh"
# shellcheck source=tests/support/servers/database.sh
. "$HERE/servers/database.sh"

# An authority and one certificate for this machine's names, as the two servers want them.
certificates() { # DIR
    local dir=$1
    mkdir -p "$dir"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
        -subj '/CN=Tidegate test authority' -addext basicConstraints=critical,CA:TRUE \
        -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$dir/ca.key" -out "$dir/ca.pem" 2>/dev/null
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
        -keyout "$dir/server.key" -out "$dir/server.csr" 2>/dev/null
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' >"$dir/extensions"
    openssl x509 -req -in "$dir/server.csr" -CA "$dir/ca.pem" -CAkey "$dir/ca.key" -CAcreateserial \
        -days 30 -extfile "$dir/extensions" -out "$dir/server.crt" 2>/dev/null
}

secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

start_servers() { # DIR
    local dir=$1 port password
    certificates "$dir/tls"
    password=$(secret)
    take_ports 5
    port=$TAKEN
    epmd_start "$dir/epmd" "$port"
    broker_prepare "$dir/broker" "tidegate-$port@localhost" $((port + 1)) $((port + 2)) "$port" "$(secret)" <<CONF
default_pass = $password
listeners.ssl.1 = 127.0.0.1:$((port + 3))
ssl_options.cacertfile = $dir/tls/ca.pem
ssl_options.certfile = $dir/tls/server.crt
ssl_options.keyfile = $dir/tls/server.key
ssl_options.verify = verify_none
CONF
    broker_launch "$dir/broker"
    database_prepare "$dir/database" $((port + 4)) "$password" "$dir/tls/server.crt" "$dir/tls/server.key"
    database_launch "$dir/database"
    controls "$dir"
    cat >"$dir/env" <<ENV
export TIDEGATE_TEST_SERVERS=$dir
export TIDEGATE_TEST_AMQP=amqp://guest:$password@127.0.0.1:$((port + 1))/%2f
export TIDEGATE_TEST_AMQPS=amqps://guest:$password@localhost:$((port + 3))/%2f
export TIDEGATE_TEST_POSTGRES=postgres://tidegate:$password@127.0.0.1:$((port + 4))/postgres
export TIDEGATE_TEST_CA=$dir/tls/ca.pem
export TIDEGATE_TEST_RABBITMQCTL=$dir/rabbitmqctl
ENV
    database_wait "$dir/database"
    broker_wait "$dir/broker"
}

# shellcheck disable=SC2016  # `$1` and `$@` are those of the programs
controls() { # DIR
    printf '#!/bin/sh\nexec bash %s/broker.sh "$1" %s/broker\n' "$SERVERS" "$1" >"$1/rabbitmq"
    printf '#!/bin/sh\nexec bash %s/database.sh "$1" %s/database\n' "$SERVERS" "$1" >"$1/postgres"
    printf '#!/bin/sh\nexec bash %s/broker.sh ctl %s/broker "$@"\n' "$SERVERS" "$1" >"$1/rabbitmqctl"
    chmod +x "$1/rabbitmq" "$1/postgres" "$1/rabbitmqctl"
}

# Ends whatever of them runs: their data is thrown away, so nothing waits for a clean shutdown. A test
# may have stopped one itself.
stop_servers() { # DIR
    [ ! -e "$1/broker/launched" ] || broker_kill "$1/broker" 2>/dev/null || true
    [ ! -e "$1/database/data/postmaster.pid" ] || {
        head -n 1 "$1/database/data/postmaster.pid" >"$1/database/pid"
        database_signal "$1/database" CONT
        database_abandon "$1/database"
    } 2>/dev/null || true
    [ ! -e "$1/epmd/pid" ] || kill "$(cat "$1/epmd/pid")" 2>/dev/null || true
}

# The PostgreSQL user must reach its own part of the directory.
new_directory() {
    local dir
    dir=$(mktemp -d "${TMPDIR:-/tmp}/tidegate-servers.XXXXXX")
    chmod 711 "$dir"
    echo "$dir"
}

run() { # CMD…
    local dir command status=0
    dir=$(new_directory)
    # Ends the servers when this script is killed too: then its end of the pipe closes.
    exec 9> >(trap '' INT TERM HUP && exec 8>&- && cat >/dev/null && stop_servers "$dir" &&
        { [ -n "${TIDEGATE_TEST_KEEP:-}" ] || rm -rf "$dir"; })
    local watch=$!
    (exec 9>&- && start_servers "$dir") || { exec 9>&- && wait "$watch" && exit 1; }
    # shellcheck source=/dev/null
    . "$dir/env"
    # Its own process group, so that a signal reaches all that CMD started.
    set -m
    "$@" 9>&- 8>&- &
    command=$!
    set +m
    trap 'kill -TERM -- "-$command" 2>/dev/null' INT TERM HUP
    # A trapped signal ends `wait` before CMD has.
    while kill -0 "$command" 2>/dev/null; do wait "$command" && status=0 || status=$?; done
    exec 9>&-
    wait "$watch" || true
    [ -z "${TIDEGATE_TEST_KEEP:-}" ] || echo "servers' data and logs: $dir" >&2
    exit "$status"
}

case "${1:-}" in
run)
    shift
    [ $# -gt 0 ] || { echo "servers.sh run: which command?" >&2 && exit 64; }
    [ -z "${TIDEGATE_TEST_AMQP:-}" ] || [ -z "${TIDEGATE_TEST_POSTGRES:-}" ] || exec "$@"
    run "$@"
    ;;
start)
    mkdir -p "${2:?DIR is missing}"
    chmod 711 "$2"
    start_servers "$(cd "$2" && pwd)"
    ;;
stop)
    if [ ! -e "${2:-}/env" ]; then
        echo "servers.sh stop DIR: nothing was started there" >&2
        exit 64
    fi
    stop_servers "$(cd "$2" && pwd)"
    rm -rf "$2"
    ;;
*)
    sed -n '2,/^\[/s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
