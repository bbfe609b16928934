# shellcheck shell=bash disable=SC2034,SC2154
# OpenSearch 2.19, a single node, otherwise like Elasticsearch.

# shellcheck source-path=SCRIPTDIR source=elasticsearch.sh
source "$here/lib/elasticsearch.sh"

engine=opensearch
libraries=$target/tools/$engine-$(cat "$here/$engine"/* | sha256sum | head -c 12)
