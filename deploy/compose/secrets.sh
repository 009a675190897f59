#!/bin/sh
# Makes the passwords that docker-compose.yml reads from deploy/compose/secrets/, where they are missing.
# A server takes its password when its volume is made: after a change, `docker-compose down --volumes`.
set -eu
cd "$(dirname "$0")"
mkdir -p secrets
# Only their owner may list the directory, while containers read the files under other users.
chmod 711 secrets
for name in postgres_password rabbitmq_password; do
    [ -s "secrets/$name" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"secrets/$name"
    chmod 644 "secrets/$name"
done
