# shellcheck shell=bash disable=SC2034,SC2154
# Valkey of Debian's trixie, set up as Redis is.

# shellcheck source-path=SCRIPTDIR/.. source=suite.sh
source "$here/suite.sh"

programs=()
packages=()
server=valkey-server

suite_tree trixie valkey-server valkey-tools

install() {
    unpack_suite trixie valkey-server valkey-tools
    suite_program valkey-server usr/bin/valkey-server
    suite_program valkey-cli usr/bin/valkey-cli
}

start() {
    mkdir -p data
    run "$tree/bin/valkey-server" --bind 127.0.0.1 --port "$port" --dir data --save '' \
        --appendonly yes --appendfsync always \
        --auto-aof-rewrite-min-size 1gb --maxmemory-policy noeviction
}

answers() {
    local info
    info=$(timeout 5 "$tree/bin/valkey-cli" -h 127.0.0.1 -p "$port" INFO 2>/dev/null | tr -d '\r')
    grep -qx "process_id:$pid" <<<"$info" && grep -qx 'loading:0' <<<"$info" || return
    sed -n 's/^valkey_version://p' <<<"$info"
}

settings() {
    local url=redis://127.0.0.1:$port
    echo "CHAT_TEST_REDIS_URL=$url"
    echo "CHAT_TEST_REDIS_SERVER=$tree/bin/valkey-server"
    echo "CHAT_COUNTER_URL=$url/0"
    echo "CHAT_QUEUE_URL=$url/0"
}
