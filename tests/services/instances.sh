# shellcheck shell=bash disable=SC2034
# What `up`, `down` and `env` share: the folder with the servers, and one server in it; sourced.
#
# A service is a file in lib/. It says what it runs:
#
#   programs  the programs that must be installed
#   packages  the Debian packages to install if they are not
#   server    the name of its process, if not that of the first program
#   ports     how many ports in a row it takes, if not one
#
# and has functions, which can use its $name, $home (a folder of its own) and $port:
#
#   install   gets what no package has, once; optional
#   start     creates the data if there is none, and calls `run` with the server; called in $home
#   answers   prints the server's version, or fails where the process $pid does not answer (yet)
#   settings  prints how to reach it, a NAME=value a line
#
# Each folder has servers and ports of its own, so that several can be used side by side.

# Servers are installed into the folders of programs for root.
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

# Prints the services that have a file of this name: `port` while there is data, and also `process` from
# `up` to `down`.
services_with() {
    local file
    for file in "$folder"/*/"$1"; do
        [[ ! -e $file ]] || basename "$(dirname "$file")"
    done
}

# Sets $name, $home and $port for a service.
find_service() {
    name=$1
    home=$folder/$name
    port=$(cat "$home/port" 2>/dev/null || true)
}

# The same, and loads the service's functions.
use() {
    find_service "$1"
    install() { :; }
    server=
    ports=1
    # shellcheck source-path=SCRIPTDIR source=lib/redis.sh
    source "$here/lib/$name.sh"
}

# Locks the folder until this script ends, waiting for whoever has locked it now.
lock() {
    mkdir -p "$folder"
    exec {held}>"$folder/lock"
    flock --timeout 600 "$held" || fail "somebody else has worked on $folder for 600 s"
}

# Prints what tells a process from all others that had its id before or get it later.
identity() {
    local stat fields
    { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return
    # After the program's name come its state and, as the 20th field, the time of its start.
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

# Ends the servers that were started here and whose folder is gone, as after `cargo clean`: they can only be
# recognised by their working directory.
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
            # Any other program in that folder is left alone.
            [[ $(</proc/"$orphan"/comm) == "$server" ]] || continue
            kill -s KILL "$orphan"
            echo "$server, process $orphan, had lost its folder and was ended"
            break
        done 2>/dev/null
    done
}

# Runs the server, detached from the terminal and from the script's output.
run() {
    setsid "$@" </dev/null >>log 2>&1 {held}>&- &
    # A server that ended at once has no identity.
    identity $! >process || true
}
