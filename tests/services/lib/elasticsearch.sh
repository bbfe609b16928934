# shellcheck shell=bash disable=SC2034,SC2154
# Elasticsearch 7.10.2, a single node; its libraries are fetched from Maven Central, once.

programs=(java javac mvn curl)
packages=(openjdk-17-jdk-headless maven curl)

# The folder with its own files; a hash of them names the folder of the libraries.
engine=elasticsearch
libraries=$target/tools/$engine-$(cat "$here/$engine"/* | sha256sum | head -c 12)

install() {
    [[ ! -d $libraries ]] || return 0
    mkdir -p "$target/tools"
    local made
    made=$(mktemp -d "$libraries.XXXXXX")
    mvn -B -q -f "$here/$engine/pom.xml" -DoutputDirectory="$made" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies >&2
    javac -cp "$made/*" -d "$made" "$here/$engine/Server.java" >&2
    # Somebody else may have been quicker.
    mv -T "$made" "$libraries" 2>/dev/null || rm -r "$made"
}

start() {
    mkdir -p tmp
    # It looks for no other node, and no other node finds it. It ignores how full the machine's disk is.
    run java -Xms512m -Xmx512m -XX:+UseSerialGC -Djava.io.tmpdir="$home/tmp" \
        -Dlog4j.configurationFile="$here/$engine/log4j2.properties" \
        -cp "$libraries:$libraries/*" Server \
        cluster.name=chat node.name=chat path.home="$home" path.data="$home/data" \
        network.host=127.0.0.1 http.port="$port" transport.port=0 discovery.type=single-node \
        cluster.routing.allocation.disk.threshold_enabled=false
}

answers() {
    local url=http://127.0.0.1:$port said
    # It may answer before its data is available.
    said=$(curl -sf -m 5 "$url/_cluster/health?filter_path=status") || return
    [[ $said != *red* ]] || return
    said=$(curl -sf -m 5 "$url/_nodes/_local/process?filter_path=nodes.*.version,nodes.*.process.id") || return
    [[ $said == *"\"id\":$pid}"* ]] || return
    sed -n 's/.*"version":"\([^"]*\)".*/\1/p' <<<"$said"
}

settings() {
    local url=http://127.0.0.1:$port
    echo "CHAT_TEST_ELASTICSEARCH_URL=$url"
    echo "CHAT_SEARCH_URL=$url"
}
