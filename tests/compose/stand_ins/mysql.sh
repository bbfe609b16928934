#!/usr/bin/env bash
# Starts MySQL with the database, the user and the passwords in the environment, like the image that this
# one stands for; the user may do everything with that database, and nothing else.
set -euo pipefail

data=/var/lib/mysql
[[ -d $data/mysql ]] || mysqld --no-defaults --initialize-insecure --datadir="$data"
cat >/tmp/begin.sql <<SQL
CREATE DATABASE IF NOT EXISTS $MYSQL_DATABASE;
CREATE USER IF NOT EXISTS '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';
GRANT ALL ON $MYSQL_DATABASE.* TO '$MYSQL_USER'@'%';
ALTER USER root@localhost IDENTIFIED BY '$MYSQL_ROOT_PASSWORD';
SQL
exec mysqld --no-defaults --datadir="$data" --init-file=/tmp/begin.sql \
    --secure-file-priv=NULL "$@"
