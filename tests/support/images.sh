#!/bin/sh
# Builds the image of every tier and of the program, as tidegate-TIER:TAG. TIDEGATE_TAG names the tag.
set -eu
cd "$(dirname "$0")/../.."
DOCKER=${DOCKER:-docker}
# One toolchain for the images and for everything else.
rust=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
for tier in edge api worker control cli; do
    "$DOCKER" build --quiet --file deploy/Dockerfile --target "$tier" --build-arg "RUST=$rust" \
        ${PROFILE:+--build-arg "PROFILE=$PROFILE"} --tag "tidegate-$tier:${TIDEGATE_TAG:-local}" . >/dev/null
    "$DOCKER" image ls --format '{{.Repository}}:{{.Tag}}  {{.Size}}' "tidegate-$tier:${TIDEGATE_TAG:-local}"
done
