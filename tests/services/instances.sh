# shellcheck shell=bash disable=SC2034
# What `up`, `down` and `env` share: the folder with the servers, and one server in it; sourced.
#
# A service is a file in lib/. It says what it runs:
#
#   programs  what must be found
#   packages  the Debian packages to install where it is not
#   server    what its process is called, unless as the first of the programs
#   ports     how many ports in a row it takes, unless one
#
# and has functions, which know its $name, $home (a folder of its own) and $port:
#
#   install   gets what no package has, once; may be left out
#   start     makes the data where there is none, and calls `run` with the server; in $home
#   answers   prints the server's version, or fails where the process $pid does not answer (yet)
#   settings  prints how to reach it, a NAME=value a line
#
# Each folder has servers and ports of its own, so that several can be used side by side.

# Servers lie beside what only root runs.
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$(realpath -m "${CARGO_TARGET_DIR:-$here/../../target}")
folder=$(realpath -m "${CHAT_SERVICES:-$target/services}")

fail() {
    echo "$*" >&2
    exit 1
}

# Prints the end of what the server said, and fails.
fail_with_log() {
    echo "$*; $home/log ends with:" >&2
    tail -n 20 "$home/log" >&2
    exit 1
}

# Checks that each argument names a service.
know() {
    local name known
    known=" $(basename -as .sh "$here"/lib/*.sh | xargs) "
    for name in "$@"; do
        [[ $known == *" $name "* ]] || fail "there is no service \`$name\`, there are:$known"
    done
}

# Answers the services that have a file of this name: `port` where there is data, and `process` as
# well from `up` to `down`.
services_with() {
    local file
    for file in "$folder"/*/"$1"; do
        [[ ! -e $file ]] || basename "$(dirname "$file")"
    done
}

# Makes $name, $home and $port those of a service.
find_service() {
    name=$1
    home=$folder/$name
    port=$(cat "$home/port" 2>/dev/null || true)
}

# The same, and makes its functions the present ones.
use() {
    find_service "$1"
    install() { :; }
    server=
    ports=1
    # shellcheck source-path=SCRIPTDIR source=lib/redis.sh
    source "$here/lib/$name.sh"
}

# Waits until nobody else changes the folder, and keeps everybody else from it until the end.
lock() {
    mkdir -p "$folder"
    exec {held}>"$folder/lock"
    flock --timeout 600 "$held" || fail "somebody else has worked on $folder for 600 s"
}

# Answers what tells a process from all others that had its number before or get it later.
identity() {
    local stat fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return
    # Behind the program's name come its state and, as the 20th, when it was started.
    read -ra fields <<<"${stat##*) }"
    [[ ${fields[0]} != [ZX] ]] || return
    echo "$1 ${fields[19]} $(</proc/sys/kernel/random/boot_id)"
}

# Tells whether the process that was started here runs, and sets $pid.
is_running() {
    [[ -s $home/process ]] || return
    read -r pid _ <"$home/process"
    [[ $(identity "$pid") == "$(<"$home/process")" ]]
}

# Ends the servers that were started here and whose folder is gone, as after `cargo clean`: nothing but
# where they work tells of them any more.
end_orphans() {
    local link place orphan programs=() packages=() server file
    for link in /proc/[0-9]*/cwd; do
        place=$(readlink "$link" 2>/dev/null) || continue
        [[ $place == "$folder"/*" (deleted)" ]] || continue
        orphan=${link#/proc/}
        orphan=${orphan%/cwd}
        for file in "$here"/lib/*.sh; do
            server=
            # shellcheck source-path=SCRIPTDIR source=lib/redis.sh
            source "$file"
            server=${server:-${programs[0]}}
            # Whoever else is there is left alone.
            [[ $(</proc/"$orphan"/comm) == "$server" ]] || continue
            kill -s KILL "$orphan"
            echo "$server, process $orphan, had lost its folder and was ended"
            break
        done 2>/dev/null
    done
}

# Runs the server, apart from the terminal and from whoever reads the script's output.
run() {
    setsid "$@" </dev/null >>log 2>&1 {held}>&- &
    # A server that ended at once has none.
    identity $! >process || true
}
