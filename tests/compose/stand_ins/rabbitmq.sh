#!/usr/bin/env bash
# Starts RabbitMQ with the user that the environment names, as the image does that this one stands for.
set -euo pipefail

cat >/var/lib/rabbitmq/stand_in.conf <<CONF
default_user = $RABBITMQ_DEFAULT_USER
default_pass = $RABBITMQ_DEFAULT_PASS
loopback_users = none
log.console = true
CONF
export RABBITMQ_CONFIG_FILE=/var/lib/rabbitmq/stand_in.conf
exec /usr/lib/rabbitmq/bin/rabbitmq-server
