#!/bin/bash
# The nodes of a Redis Cluster, as one process: they end with it. Its folder has one for each node, in data.
#
#   redis-cluster.sh PORT MASTERS REPLICAS
#
# First come the masters, then as many replicas of each. Who has which slots, and who follows whom, is written
# down before the nodes start, so they have nothing to agree on.
set -euo pipefail

port=$1
masters=$2
nodes=$((masters * (1 + $3)))
epoch=$masters

# The name of a node, which is 40 digits.
name_of() {
    printf '%040d' "$(($1 + 1))"
}

# What a node knows of all of them at its first start.
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
    # Their port may be another one than before: then what each knows of the others is written anew.
    [[ $(cat "data/$node/port" 2>/dev/null) == "$port" ]] || write_down "$node" >"data/$node/nodes.conf"
    echo "$port" >"data/$node/port"
    # Should this be killed, they are, too.
    setpriv --pdeathsig KILL redis-server --bind 127.0.0.1 --port "$((port + node))" \
        --cluster-enabled yes --cluster-port "$((port + nodes + node))" --cluster-node-timeout 2000 \
        --dir "data/$node" --pidfile pid --save '' --appendonly yes --appendfsync always \
        --auto-aof-rewrite-min-size 1gb --maxmemory-policy noeviction &
    children+=($!)
    # Redis writes its own file only where it is a daemon.
    echo $! >"data/$node/pid"
done
# One that is missing leaves a cluster that does not work, unless there is another one to take its place.
if ((nodes == masters)); then
    wait -n || true
    kill "${children[@]}" 2>/dev/null || true
fi
wait
