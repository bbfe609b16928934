# shellcheck shell=bash disable=SC2034,SC2154
# MySQL 9 of Debian's sid, with an empty database `chat` and a user `chat` who may do everything.

# shellcheck source-path=SCRIPTDIR/.. source=suite.sh
source "$here/suite.sh"

programs=()
packages=()
server=mysqld

suite_tree sid mysql-server-core mysql-client-core

install() {
    unpack_suite sid mysql-server-core mysql-client-core
    suite_program mysqld usr/sbin/mysqld
    suite_program mysql usr/bin/mysql
}

start() {
    local as_root=() base=$tree/root/usr
    # Its files are unpacked beside it, and not in the folders that it was built for.
    local place=(--no-defaults --basedir="$base" --plugin-dir="$base/lib/mysql/plugin"
        --lc-messages-dir="$base/share/mysql" --character-sets-dir="$base/share/mysql/charsets")
    ((EUID != 0)) || as_root=(--user=root)
    if [[ ! -d data ]]; then
        rm -rf unfinished
        "$tree/bin/mysqld" "${place[@]}" "${as_root[@]}" --datadir="$home/unfinished" \
            --initialize-insecure >>log 2>&1 ||
            fail_with_log "$name: the data could not be made"
        mv unfinished data
    fi
    [[ -s password ]] || od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >password
    # Each statement on a line of its own, as an init file wants it.
    cat >begin.sql <<SQL
CREATE DATABASE IF NOT EXISTS chat;
CREATE USER IF NOT EXISTS chat IDENTIFIED BY '$(<password)';
GRANT ALL ON *.* TO chat WITH GRANT OPTION;
SQL
    mkdir -p tmp
    # What it wrote survives a kill, but is not synced to disk: syncing makes every table cost a tenth of a
    # second, and is left to the tests on MariaDB. The socket is in the data folder, by its bare name: the
    # full path may be too long for a socket.
    run "$tree/bin/mysqld" "${place[@]}" "${as_root[@]}" --datadir="$home/data" \
        --tmpdir="$home/tmp" --bind-address=127.0.0.1 --port="$port" --socket=socket \
        --secure-file-priv=NULL --mysqlx=OFF --pid-file=pid --init-file="$home/begin.sql" --skip-name-resolve \
        --skip-log-bin --innodb-flush-log-at-trx-commit=1 --innodb-flush-method=nosync \
        --innodb-doublewrite=OFF --innodb-buffer-pool-size=256M \
        --max-connections=500
}

answers() {
    local said
    said=$(MYSQL_PWD=$(<"$home/password") timeout 5 "$tree/bin/mysql" --no-defaults \
        --protocol=tcp --host=127.0.0.1 --port="$port" --user=chat --get-server-public-key \
        --skip-column-names --execute='SELECT version(), @@datadir' 2>/dev/null)
    [[ ${said#*$'\t'} == "$home/data/" ]] || return
    echo "${said%%$'\t'*}"
}

settings() {
    local url
    url=mysql://chat:$(<"$home/password")@127.0.0.1:$port
    echo "CHAT_TEST_MYSQL_URL=$url/"
    echo "CHAT_REPOSITORY_URL=$url/chat"
}
