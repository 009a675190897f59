#!/bin/sh
# Names every tool that is missing, with the Debian package that brings it; exits 64 if one is.
missing=""
for tool in "$@"; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "the tests need:$missing" >&2
    echo "on Debian: apt-get install$missing" >&2
    exit 64
fi
