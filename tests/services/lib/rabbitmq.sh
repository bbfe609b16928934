# shellcheck shell=bash disable=SC2034,SC2154
# RabbitMQ, a single node; if CHAT_RABBITMQ_DELIVERY_LIMIT is set, with a policy that limits how often an
# entry is delivered.

programs=(rabbitmqctl epmd setpriv openssl)
packages=(rabbitmq-server util-linux openssl)
server=beam.smp
ports=4

scripts=/usr/lib/rabbitmq/bin

# Sets the environment of this node's programs.
export_node() {
    export HOME=$home RABBITMQ_DIST_PORT=$((port + 1)) ERL_EPMD_PORT=$((port + 2))
    export RABBITMQ_NODENAME=chat-$port@localhost RABBITMQ_CONFIG_FILE=$home/rabbitmq.conf
    export RABBITMQ_MNESIA_BASE=$home/data RABBITMQ_LOG_BASE=$home/logs
    export RABBITMQ_ENABLED_PLUGINS_FILE=$home/enabled_plugins
    export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
    # With these, the start script is replaced by the server instead of waiting for it.
    export RABBITMQ_ALLOW_INPUT=1 RABBITMQ_SERVER_START_ARGS=-noinput
}

# Creates a certificate authority that nobody trusts, and its certificate for the server at 127.0.0.1.
certify() {
    local new=(openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365)
    "${new[@]}" -subj '/CN=authority' -keyout authority.key -out authority.pem 2>>log
    "${new[@]}" -subj '/CN=rabbitmq' -keyout key.pem -out certificate.pem \
        -CA authority.pem -CAkey authority.key \
        -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE 2>>log
}

# Limits how often the queue of creations delivers an entry. Definitions replace the default user, so they
# have to include it.
define() {
    cat >definitions.json <<JSON
{
  "users": [{"name": "guest", "password": "guest", "tags": "administrator"}],
  "vhosts": [{"name": "/"}],
  "permissions": [{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
  "policies": [{"vhost": "/", "name": "limit", "pattern": "creations$", "apply-to": "queues", "priority": 0,
                "definition": {"delivery-limit": $1}}]
}
JSON
    echo "load_definitions = $home/definitions.json" >>rabbitmq.conf
}

start() {
    mkdir -p data logs
    certify
    cat >rabbitmq.conf <<CONF
listeners.tcp.1 = 127.0.0.1:$port
listeners.ssl.1 = 127.0.0.1:$((port + 3))
ssl_options.cacertfile = $home/authority.pem
ssl_options.certfile = $home/certificate.pem
ssl_options.keyfile = $home/key.pem
ssl_options.verify = verify_none
# The usual limits speak of machines that do nothing else.
disk_free_limit.absolute = 512MB
vm_memory_high_watermark.absolute = 1GB
log.console = true
log.console.level = warning
log.file = false
CONF
    [[ -z ${CHAT_RABBITMQ_DELIVERY_LIMIT:-} ]] || define "$CHAT_RABBITMQ_DELIVERY_LIMIT"
    echo '[].' >enabled_plugins
    export_node
    # epmd, the daemon that maps names of nodes to ports, ends with this node.
    run bash -c 'setpriv --pdeathsig KILL epmd -address 127.0.0.1 & exec "$0"' \
        "$scripts/rabbitmq-server"
}

answers() {
    local greeting
    # Once it is ready, a node answers the protocol's header with a greeting; a frame ends with this byte.
    greeting=$(
        exec 2>/dev/null
        exec 3<>"/dev/tcp/127.0.0.1/$port" || exit
        printf 'AMQP\0\0\11\1' >&3
        LC_ALL=C IFS= read -r -t 2 -d $'\xce' -u 3 frame && tr -c '[:print:]' ' ' <<<"$frame"
    ) || return
    sed -n 's/.*versionS *\([0-9.]*\).*/\1/p' <<<"$greeting" | grep .
}

settings() {
    local url=amqp://guest:guest@127.0.0.1:$port/%2f
    echo "CHAT_TEST_RABBITMQ_URL=$url"
    echo "CHAT_TEST_RABBITMQ_TLS_URL=amqps://guest:guest@127.0.0.1:$((port + 3))/%2f"
    echo "CHAT_TEST_RABBITMQ_AUTHORITY=$home/authority.pem"
    echo "CHAT_QUEUE_URL=$url"
}
