#!/usr/bin/env bash
# Installs the servers that the tests start, where they are missing: Debian's package of Redis.
set -euo pipefail

if command -v redis-server >/dev/null || command -v valkey-server >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "The tests need redis-server or valkey-server on the PATH; install it, for example as root:" >&2
    echo "    apt-get update && apt-get install redis-server" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
echo "Installing redis-server, which the tests start" >&2
apt-get update -qq
# The package would start a server of its own, which nobody needs here.
RUNLEVEL=1 apt-get install -qq --yes --no-install-recommends redis-server >/dev/null
