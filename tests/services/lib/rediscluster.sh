# shellcheck shell=bash disable=SC2034,SC2154
# A Redis Cluster of three masters, each with CHAT_CLUSTER_REPLICAS replicas (by default none); all nodes are
# set up like the service `redis`.

masters=3
# The ports of the nodes' buses follow those of the nodes.
nodes=$((masters * (1 + ${CHAT_CLUSTER_REPLICAS:-0})))
ports=$((2 * nodes))
programs=(redis-server redis-cli setpriv)
packages=(redis-server util-linux)
server=redis-cluster.sh

start() {
    local node
    for ((node = 0; node < nodes; node++)); do
        mkdir -p "data/$node"
    done
    run "$here/redis-cluster.sh" "$port" "$masters" "$((nodes / masters - 1))"
}

answers() {
    local node info
    for ((node = port; node < port + nodes; node++)); do
        info=$(timeout 5 redis-cli -h 127.0.0.1 -p "$node" CLUSTER INFO 2>/dev/null | tr -d '\r')
        grep -qx 'cluster_state:ok' <<<"$info" || return
        grep -qx "cluster_known_nodes:$nodes" <<<"$info" || return
        info=$(timeout 5 redis-cli -h 127.0.0.1 -p "$node" INFO 2>/dev/null | tr -d '\r')
        grep -qx "process_id:$(cat "$home/data/$((node - port))/pid" 2>/dev/null)" <<<"$info" || return
    done
    sed -n 's/^redis_version://p' <<<"$info"
}

settings() {
    local url=redis+cluster://127.0.0.1:$port
    echo "CHAT_TEST_REDIS_CLUSTER_URL=$url"
    echo "CHAT_COUNTER_URL=$url"
    echo "CHAT_QUEUE_URL=$url"
}
