#!/bin/bash
# Runs the nodes of a Redis Cluster, which end with this process, each in a folder below `data`.
#
#   redis-cluster.sh PORT MASTERS REPLICAS
#
# The masters come first, then their replicas. Who has which slots, and who replicates whom, is written down
# before the nodes start, so they have nothing to agree on.
set -euo pipefail

port=$1
masters=$2
nodes=$((masters * (1 + $3)))
epoch=$masters

# The name of a node, which is 40 digits.
name_of() {
    printf '%040d' "$(($1 + 1))"
}

# Prints what a node knows of all nodes when it first starts, its nodes.conf.
write_down() {
    local self=$1 node master flags slots
    for ((node = 0; node < nodes; node++)); do
        master=$((node % masters))
        if ((node < masters)); then
            flags='master -'
            slots=" $((16384 * node / masters))-$((16384 * (node + 1) / masters - 1))"
        else
            flags="slave $(name_of "$master")"
            slots=
        fi
        ((node != self)) || flags=myself,$flags
        echo "$(name_of "$node") 127.0.0.1:$((port + node))@$((port + nodes + node)) $flags 0 0" \
            "$((master + 1)) connected$slots"
    done
    echo "vars currentEpoch $epoch lastVoteEpoch 0"
}

children=()
trap 'kill "${children[@]}" 2>/dev/null; wait' TERM INT
for ((node = 0; node < nodes; node++)); do
    # If the ports have changed since the last start, the node's knowledge of the others is outdated.
    [[ $(cat "data/$node/port" 2>/dev/null) == "$port" ]] || write_down "$node" >"data/$node/nodes.conf"
    echo "$port" >"data/$node/port"
    # If this process is killed, so are the nodes.
    setpriv --pdeathsig KILL redis-server --bind 127.0.0.1 --port "$((port + node))" \
        --cluster-enabled yes --cluster-port "$((port + nodes + node))" --cluster-node-timeout 2000 \
        --dir "data/$node" --pidfile pid --save '' --appendonly yes --appendfsync always \
        --auto-aof-rewrite-min-size 1gb --maxmemory-policy noeviction &
    children+=($!)
    # Redis writes the same into this file, but only once it has started.
    echo $! >"data/$node/pid"
done
# Without replicas, a cluster that has lost a node does not work, so all of it ends.
if ((nodes == masters)); then
    wait -n || true
    kill "${children[@]}" 2>/dev/null || true
fi
wait
