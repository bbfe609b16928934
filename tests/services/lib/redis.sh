# shellcheck shell=bash disable=SC2034,SC2154
# Redis, which syncs each write to disk before it answers, and refuses writes rather than evict keys.
#
# CHAT_REDIS_SYNC=everysec lets it answer before, for measurements.

programs=(redis-server redis-cli)
packages=(redis-server)

start() {
    mkdir -p data
    run redis-server --bind 127.0.0.1 --port "$port" --dir data --save '' \
        --appendonly yes --appendfsync "${CHAT_REDIS_SYNC:-always}" \
        --auto-aof-rewrite-min-size 1gb --maxmemory-policy noeviction
}

answers() {
    local info
    info=$(timeout 5 redis-cli -h 127.0.0.1 -p "$port" INFO 2>/dev/null | tr -d '\r')
    grep -qx "process_id:$pid" <<<"$info" && grep -qx 'loading:0' <<<"$info" || return
    sed -n 's/^redis_version://p' <<<"$info"
}

settings() {
    local url=redis://127.0.0.1:$port
    echo "CHAT_TEST_REDIS_URL=$url"
    echo "CHAT_TEST_REDIS_SERVER=$(type -P redis-server)"
    echo "CHAT_COUNTER_URL=$url/0"
    echo "CHAT_QUEUE_URL=$url/0"
}
