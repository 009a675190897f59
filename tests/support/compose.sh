#!/usr/bin/env bash
# Builds the images, brings docker-compose.yml up beside whatever else runs, and shows that it works: every
# service healthy, the demo's totals right through the published port, a killed tier back by itself, the right
# totals again, and an orderly end of every tier. Ends in a table; exit status 1 if anything is wrong.
#
#   ROWS=100000     rows of each demo
#   COMPOSE=…       `docker-compose` (1.29) or `docker compose`; default: the first one there is
#   TIDEGATE_TAG=…  with SKIP_BUILD=1: images that are there already
#
# Needs a Docker engine, and base images that it has or can pull.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tests/support/servers/process.sh
. tests/support/servers/process.sh

ROWS=${ROWS:-100000}
TIERS=(edge api worker control)
SERVICES=("${TIERS[@]}" postgres rabbitmq)
export COMPOSE_PROJECT_NAME=tidegate-check-$$ TIDEGATE_TAG=${TIDEGATE_TAG:-local}

docker info >/dev/null 2>&1 || { echo "no Docker engine answers; start one (dockerd), or name it in DOCKER_HOST" >&2 && exit 64; }
if [ -n "${COMPOSE:-}" ]; then
    read -ra COMPOSE_COMMAND <<<"$COMPOSE"
elif docker compose version >/dev/null 2>&1; then
    COMPOSE_COMMAND=(docker compose)
elif command -v docker-compose >/dev/null; then
    COMPOSE_COMMAND=(docker-compose)
else
    echo "missing: docker-compose (or the compose plugin of docker)" >&2 && exit 64
fi
compose() { "${COMPOSE_COMMAND[@]}" "$@"; }
container() { compose ps -q "$1" | head -n 1; }
health() { docker inspect --format '{{.State.Health.Status}}' "$(container "$1")"; }
say() { echo "== $*" >&2; }

DIR=$(mktemp -d)
down() {
    compose down --volumes --timeout 30 >"$DIR/down.log" 2>&1 || cat "$DIR/down.log" >&2
    rm -rf "$DIR"
}
failed() {
    echo "compose: $1" >&2
    compose ps >&2 || true
    compose logs --tail 40 >&2 || true
    exit 1
}

# Waits until each of these services is healthy, and notes when that was.
wait_healthy() { # FILE SERVICE…
    local file=$1 start=$SECONDS waiting=("${@:2}") still service
    while [ "${#waiting[@]}" -gt 0 ]; do
        still=()
        for service in "${waiting[@]}"; do
            if [ "$(health "$service" 2>/dev/null)" = healthy ]; then
                echo "$service $((SECONDS - start))" >>"$file"
            else
                still+=("$service")
            fi
        done
        waiting=("${still[@]}")
        [ $((SECONDS - start)) -lt 240 ] || failed "not healthy in time: ${waiting[*]}"
        sleep 0.5
    done
}

# The program of the cli image, on this machine's loopback.
demo() { # SEED
    docker run --rm --network host --read-only --volume "$DIR/ca.pem:/ca.pem:ro" --env TIDEGATE_TOKEN \
        "tidegate-cli:$TIDEGATE_TAG" demo air --rows "$ROWS" --seed "$1" --json \
        --url "https://127.0.0.1:$EDGE_HTTPS_PORT" --ca /ca.pem >"$DIR/demo-$1.json" ||
        failed "the demo's totals differ: $(cat "$DIR/demo-$1.json")"
}
of_demo() { sed -n "s/.*\"$2\":\([^,}]*\).*/\1/p" "$DIR/demo-$1.json" | head -n 1; }

take_ports 3
export EDGE_HTTPS_PORT=$TAKEN EDGE_HTTP_PORT=$((TAKEN + 1)) CONTROL_PORT=$((TAKEN + 2))
sh deploy/compose/secrets.sh
start=$SECONDS
[ -n "${SKIP_BUILD:-}" ] || { say "building the images" && sh tests/support/images.sh >&2; }
built=$((SECONDS - start))
trap down EXIT
trap 'exit 130' INT TERM

say "starting with ${COMPOSE_COMMAND[*]}"
start=$SECONDS
compose up --detach --no-build >"$DIR/up.log" 2>&1 || { cat "$DIR/up.log" >&2 && failed "up failed"; }
wait_healthy "$DIR/healthy" "${SERVICES[@]}"
up=$((SECONDS - start))

docker cp "$(container setup)":/var/lib/tidegate/operator/cli.toml "$DIR/cli.toml" >/dev/null
docker cp "$(container edge)":/var/lib/tidegate/trust/ca.pem "$DIR/ca.pem" >/dev/null
chmod 644 "$DIR/ca.pem"
chmod 755 "$DIR"
TIDEGATE_TOKEN=$(sed -n 's/^token = "\(.*\)"/\1/p' "$DIR/cli.toml")
export TIDEGATE_TOKEN
say "demo: $ROWS rows through https://127.0.0.1:$EDGE_HTTPS_PORT"
demo 1
docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' >"$DIR/memory"

# `docker kill` would count as asked for: only a crash starts a container again.
say "killing api and worker"
for service in api worker; do
    kill -KILL "$(docker inspect --format '{{.State.Pid}}' "$(container "$service")")"
done
for service in api worker; do
    end=$((SECONDS + 60))
    until [ "$(docker inspect --format '{{.RestartCount}}' "$(container "$service")")" = 1 ]; do
        [ "$SECONDS" -lt "$end" ] || failed "$service was not started again"
        sleep 0.2
    done
done
wait_healthy "$DIR/again" "${TIERS[@]}"
demo 2

say "stopping"
containers=()
for service in "${TIERS[@]}"; do containers+=("$(container "$service")"); done
start=$SECONDS
compose stop >"$DIR/stop.log" 2>&1 || { cat "$DIR/stop.log" >&2 && failed "stop failed"; }
stopped=$((SECONDS - start))
for each in "${containers[@]}"; do
    code=$(docker inspect --format '{{.State.ExitCode}}' "$each")
    [ "$code" = 0 ] || failed "$(docker inspect --format '{{.Name}}' "$each") ended with $code"
done

printf '\n%-10s %12s %14s %14s\n' service 'image, MB' 'memory' 'healthy after'
for service in "${SERVICES[@]}"; do
    id=$(container "$service")
    image=$(docker inspect --format '{{.Image}}' "$id")
    name=$(docker inspect --format '{{.Name}}' "$id" | tr -d /)
    printf '%-10s %12s %14s %12s s\n' "$service" \
        "$(docker image inspect --format '{{.Size}}' "$image" | awk '{ printf "%.0f", $1 / 1e6 }')" \
        "$(awk -v name="$name" '$1 == name { print $2 }' "$DIR/memory")" \
        "$(awk -v name="$service" '$1 == name { print $2 }' "$DIR/healthy")"
done
printf '\n%-44s %10s\n' 'images built in, s' "$built" 'all healthy after, s' "$up" \
    'demo, rows a second' "$(of_demo 1 rows_per_s)" \
    'demo after the kills, rows a second' "$(of_demo 2 rows_per_s)" \
    'everything stopped in order, s' "$stopped"
