#!/usr/bin/env bash
# A RabbitMQ cluster of three nodes on loopback, for tests that take its leader away.
#
#   cluster.sh start DIR     starts it; `. DIR/env` sets the variables below
#   cluster.sh kill DIR N    kill -9 of node N (1 to 3); `revive DIR N` starts it again
#   cluster.sh pause DIR N   SIGSTOP of node N; `resume DIR N` lets it go on
#   cluster.sh ctl DIR N ARGS…   rabbitmqctl ARGS against node N
#   cluster.sh stop DIR      ends all of it and removes DIR
#
#   TIDEGATE_TEST_CLUSTER    the three addresses, separated by commas: amqp://guest:…@127.0.0.1:PORT/%2f,…
#
# Node N keeps its files in DIR/N, its process id in DIR/N/launched. The first node starts alone, the
# other two join it together: 12 to 20 seconds on two cores, some 400 MB.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/support/servers/broker.sh
. "$HERE/servers/broker.sh"

secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

start_cluster() { # DIR
    local dir=$1 port n cookie password addresses=()
    cookie=$(secret)
    password=$(secret)
    take_ports 7
    port=$TAKEN
    epmd_start "$dir/epmd" "$port"
    for n in 1 2 3; do
        broker_prepare "$dir/$n" "$(node "$port" "$n")" $((port + 2 * n - 1)) $((port + 2 * n)) "$port" "$cookie" <<CONF
default_pass = $password
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = $(node "$port" 1)
cluster_formation.classic_config.nodes.2 = $(node "$port" 2)
cluster_formation.classic_config.nodes.3 = $(node "$port" 3)
CONF
        addresses+=("amqp://guest:$password@127.0.0.1:$((port + 2 * n - 1))/%2f")
    done
    broker_launch "$dir/1"
    broker_wait "$dir/1"
    broker_launch "$dir/2"
    broker_launch "$dir/3"
    broker_wait "$dir/2"
    broker_wait "$dir/3"
    (IFS=, && echo "export TIDEGATE_TEST_CLUSTER='${addresses[*]}'" >"$dir/env")
}

node() { # PORT N
    echo "tidegate-$1-$2@localhost"
}

stop_cluster() { # DIR
    local n
    for n in 1 2 3; do
        broker_kill "$1/$n" 2>/dev/null || true
    done
    kill "$(cat "$1/epmd/pid")" 2>/dev/null || true
}

case "${1:-} ${2:-}" in
"start "?*)
    mkdir -p "$2"
    DIR=$(cd "$2" && pwd)
    start_cluster "$DIR" || { stop_cluster "$DIR" && exit 1; }
    ;;
"kill "?*) broker_kill "$2/${3:?which node?}" ;;
"revive "?*)
    broker_launch "$2/${3:?which node?}"
    broker_wait "$2/$3"
    ;;
"pause "?*) broker_signal "$2/${3:?which node?}" STOP ;;
"resume "?*) broker_signal "$2/${3:?which node?}" CONT ;;
"ctl "?*)
    dir=$2/${3:?which node?}
    shift 3
    (broker_ctl "$dir" "$@")
    ;;
"stop "?*)
    stop_cluster "$2"
    rm -rf "$2"
    ;;
*)
    sed -n '2,/^\[/s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
