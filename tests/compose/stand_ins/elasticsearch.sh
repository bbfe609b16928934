#!/usr/bin/env bash
# Starts Elasticsearch with the settings in the environment, like the image that this one stands for, except
# for settings of modules that are not here.
set -euo pipefail

home=/usr/share/elasticsearch
mapfile -t settings < <(env | grep -E '^(discovery|cluster|node)\.')
read -ra options <<<"${ES_JAVA_OPTS:-}"
exec java "${options[@]}" -Dlog4j.configurationFile="$home/log4j2.properties" \
    -cp "$home/lib:$home/lib/*" Server cluster.name=docker-cluster node.name="$HOSTNAME" \
    path.home="$home" path.data="$home/data" network.host=0.0.0.0 http.port=9200 "${settings[@]}"
