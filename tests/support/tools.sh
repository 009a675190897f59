#!/bin/sh
# Names every Debian package that is missing, and exits 64 if one is. `tools.sh -m PACKAGE…` only prints
# their names, for a script that installs them.
print=""
[ "$1" != -m ] || { print=1 && shift; }

# The program that a package brings; both servers keep theirs outside PATH.
has() {
    case "$1" in
    rabbitmq-server) [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && command -v epmd && command -v setpriv ;;
    postgresql) ls /usr/lib/postgresql/*/bin/initdb ;;
    python3-venv) python3 -c "import venv, ensurepip" ;;
    build-essential) command -v cc && command -v make ;;
    *) command -v "$1" ;;
    esac >/dev/null 2>&1
}

missing=""
for package in "$@"; do
    has "$package" || missing="$missing $package"
done
if [ -n "$print" ]; then
    echo "$missing"
elif [ -n "$missing" ]; then
    echo "missing:$missing" >&2
    echo "on Debian: apt-get install --no-install-recommends$missing" >&2
    exit 64
fi
