# shellcheck shell=bash disable=SC2034,SC2154
# MariaDB, with an empty database `chat` and a user `chat` who may do everything.

programs=(mariadbd mariadb-install-db mariadb)
packages=(mariadb-server-core mariadb-client-core)

start() {
    local as_root=()
    if [[ ! -d data ]]; then
        rm -rf unfinished
        # Without --user, even as root: it would give a system folder to that user.
        mariadb-install-db --no-defaults --datadir="$home/unfinished" \
            --cross-bootstrap --skip-test-db >>log 2>&1 ||
            fail_with_log "$name: the data could not be made"
        mv unfinished data
    fi
    [[ -s password ]] || od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >password
    cat >begin.sql <<SQL
CREATE DATABASE IF NOT EXISTS chat;
CREATE OR REPLACE USER chat IDENTIFIED BY '$(<password)';
GRANT ALL ON *.* TO chat WITH GRANT OPTION;
SQL
    mkdir -p tmp
    ((EUID != 0)) || as_root=(--user=root)
    # The socket is in the data folder, by its bare name: the full path may be too long for a socket.
    run mariadbd --no-defaults "${as_root[@]}" --datadir="$home/data" --tmpdir="$home/tmp" \
        --bind-address=127.0.0.1 --port="$port" --socket=socket --pid-file=pid \
        --init-file="$home/begin.sql" --skip-name-resolve --skip-log-bin \
        --character-set-server=utf8mb4 --innodb-flush-log-at-trx-commit=1 \
        --innodb-buffer-pool-size=256M --max-connections=500
}

answers() {
    local said
    said=$(MYSQL_PWD=$(<"$home/password") timeout 5 mariadb --no-defaults \
        --protocol=tcp --host=127.0.0.1 --port="$port" --user=chat \
        --skip-column-names --execute='SELECT version(), @@datadir' 2>/dev/null)
    [[ ${said#*$'\t'} == "$home/data/" ]] || return
    echo "${said%%$'\t'*}"
}

settings() {
    local url
    url=mysql://chat:$(<"$home/password")@127.0.0.1:$port
    echo "CHAT_TEST_MYSQL_URL=$url/"
    echo "CHAT_TEST_MYSQL_SERVER=$(type -P mariadbd)"
    echo "CHAT_REPOSITORY_URL=$url/chat"
}
