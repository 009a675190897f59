#!/bin/sh
# Compares our queue with Celery and BullMQ: `servers.sh run peers.sh TARGET ARGS…`, where TARGET holds what was
# built with profile bench. The first run fetches Celery from PyPI and BullMQ from npm into TARGET/peers. Redis writes
# each change to disk, as RabbitMQ's quorum queues and PostgreSQL do.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
target=$1
shift
peers=$target/peers
mkdir -p "$peers"
if ! cmp -s "$here/peers/requirements.txt" "$peers/requirements.txt"; then
    python3 -m venv "$peers/venv"
    "$peers/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/peers/requirements.txt"
    cp "$here/peers/requirements.txt" "$peers/"
fi
cp "$here/peers/package.json" "$here/peers/bullmq_peer.mjs" "$peers/"
(cd "$peers" && npm install --silent --no-audit --no-fund)

data=$(mktemp -d)
port=$(sh -c 'echo $((20000 + $$ % 10000))')
redis-server --port "$port" --bind 127.0.0.1 --dir "$data" --save '' --appendonly yes --appendfsync always \
    --logfile "$data/log" &
redis=$!
trap 'kill "$redis" 2>/dev/null; wait "$redis"; rm -rf "$data"' EXIT
trap 'exit 130' INT TERM
tries=0
until redis-cli -p "$port" ping >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$redis"; then
        cat "$data/log" >&2
        exit 1
    fi
    sleep 0.1
done

"$target/release/peers" --amqp "$TIDEGATE_TEST_AMQP" --store "$TIDEGATE_TEST_POSTGRES?sslmode=disable" --redis "$port" \
    --worker "$target/release/tidegate-worker" --python "$peers/venv/bin/python" --peers "$here/peers" \
    --modules "$peers" "$@"
