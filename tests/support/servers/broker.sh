#!/usr/bin/env bash
# One RabbitMQ node of a test's own: everything it reads and writes lies in its directory, and it listens
# on loopback only. Sourced for its functions, or run on a node that they made:
#   broker.sh start|stop|kill|pause|resume|pid DIR      stop lets it finish, kill is kill -9
#   broker.sh ctl DIR ARGS…                             rabbitmqctl ARGS against that node
# A start takes 4 to 5 seconds on two cores and some 130 MB, rabbitmqctl half a second each time.

SERVERS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/support/servers/process.sh
. "$SERVERS/process.sh"
# Debian's scripts find their companions beside themselves; those in /usr/sbin change the user.
RABBITMQ_BIN=/usr/lib/rabbitmq/bin

# Writes what a node of this name needs into DIR; more lines of its configuration come from stdin.
broker_prepare() { # DIR NODE AMQP_PORT DISTRIBUTION_PORT EPMD_PORT COOKIE
    local dir=$1 node=$2 port=$3 distribution=$4 epmd=$5 cookie=$6
    mkdir -p "$dir/log"
    printf %s "$cookie" >"$dir/.erlang.cookie"
    chmod 400 "$dir/.erlang.cookie"
    echo '[].' >"$dir/enabled_plugins"
    : >"$dir/rabbitmq-env.conf"
    # The write-ahead log of the quorum queues would otherwise take up to 512 MB before it is cut.
    cat - >"$dir/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$port
disk_free_limit.absolute = 50MB
vm_memory_high_watermark.absolute = 1GB
raft.wal_max_size_bytes = 64000000
log.console = false
log.file.level = info
CONF
    cat >>"$dir/rabbitmq.conf"
    cat >"$dir/env" <<ENV
export HOME=$dir ERL_EPMD_PORT=$epmd ERL_EPMD_ADDRESS=127.0.0.1
export RABBITMQ_NODENAME=$node RABBITMQ_NODE_PORT=$port RABBITMQ_DIST_PORT=$distribution
export RABBITMQ_CONF_ENV_FILE=$dir/rabbitmq-env.conf RABBITMQ_CONFIG_FILE=$dir/rabbitmq.conf
export RABBITMQ_ADVANCED_CONFIG_FILE=$dir/advanced.config
export RABBITMQ_ENABLED_PLUGINS_FILE=$dir/enabled_plugins RABBITMQ_PID_FILE=$dir/pid
export RABBITMQ_MNESIA_BASE=$dir/data RABBITMQ_LOG_BASE=$dir/log
export RABBITMQ_GENERATED_CONFIG_DIR=$dir/config RABBITMQ_SCHEMA_DIR=$dir/schema
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
# Several rabbitmqctl at a time each need a port: any will do.
export RABBITMQ_CTL_DIST_PORT_MIN=0 RABBITMQ_CTL_DIST_PORT_MAX=0
export ERL_CRASH_DUMP_SECONDS=0
ENV
}

# Starts the name service of this run's nodes. Without it, the first node would leave one behind.
epmd_start() { # DIR PORT
    mkdir -p "$1"
    setsid epmd -address 127.0.0.1 -port "$2" >"$1/log" 2>&1 </dev/null &
    echo $! >"$1/pid"
    wait_until epmd 10 $! epmd -port "$2" -names
}

# Starts the node without waiting for it.
broker_launch() { # DIR
    (
        # shellcheck source=/dev/null
        . "$1/env"
        rm -f "$1/pid"
        # `detached` makes the script become the Erlang machine instead of staying as its parent.
        detached=1 exec setsid "$RABBITMQ_BIN/rabbitmq-server" >>"$1/log/console" 2>&1 </dev/null
    ) &
    echo $! >"$1/launched"
    disown
}

# Waits for the launched node: its listener opens as the last step of the start.
broker_wait() { # DIR
    local port
    port=$(sed -n 's/.*RABBITMQ_NODE_PORT=\([0-9]*\).*/\1/p' "$1/env")
    if ! wait_until "RabbitMQ in $1" 60 "$(cat "$1/launched")" broker_speaks "$port"; then
        tail -n 20 "$1"/log/* >&2
        return 1
    fi
}

# Succeeds when the port answers the AMQP greeting with a method frame (Connection.Start).
broker_speaks() { # PORT
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf 'AMQP\0\0\011\001' >&3
        [ "$(timeout 2 head -c 1 <&3 | od -An -tu1 | tr -d ' ')" = 1 ]
    )
}

broker_stop() { # DIR
    broker_signal "$1" TERM && broker_gone "$1"
}

# The machine's data is thrown away afterwards, or its sudden end is what the test is about.
broker_kill() { # DIR
    broker_signal "$1" KILL && broker_gone "$1"
}

broker_signal() { # DIR SIGNAL
    kill "-$2" "$(cat "$1/launched")"
}

broker_gone() { # DIR
    process_gone "$(cat "$1/launched")"
}

broker_ctl() { # DIR ARGS…
    local dir=$1
    shift
    # shellcheck source=/dev/null
    . "$dir/env"
    exec "$RABBITMQ_BIN/rabbitmqctl" "$@"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    set -euo pipefail
    case "${1:-} ${2:-}" in
    "start "?*) broker_launch "$2" && broker_wait "$2" ;;
    "stop "?*) broker_stop "$2" ;;
    "kill "?*) broker_kill "$2" ;;
    "pause "?*) broker_signal "$2" STOP ;;
    "resume "?*) broker_signal "$2" CONT ;;
    "pid "?*) cat "$2/launched" ;;
    "ctl "?*)
        shift
        (broker_ctl "$@")
        ;;
    *)
        sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
        exit 64
        ;;
    esac
fi
