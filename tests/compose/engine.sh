# shellcheck shell=bash disable=SC2034
# How containers are built and run without a Docker engine, apart from whatever else is on the machine;
# sourced.
#
# Images, containers, networks and volumes lie in a folder of their own; processes run in namespaces of
# their own, and end with them.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
workspace=$(realpath "$here/../..")
target=$(realpath -m "${CARGO_TARGET_DIR:-$workspace/target}")
# What is slow to get, and kept: base systems, images, Python packages.
kept=$target/compose
images=$kept/images
# The state of one run.
state=$kept/state

PATH=$PATH:/usr/sbin:/sbin

# Reads the compose file.
compose=("$kept/python/bin/podman-compose" --podman-path "$here/bin/podman")

# Runs tests that are built already.
nextest=(cargo nextest run --locked --offline -p chat-system --all-features)

fail() {
    echo "$*" >&2
    exit 1
}

doing=
began=0

# Runs a step, and says how many seconds it took.
step() {
    doing=$1
    began=$SECONDS
    shift
    echo "==> compose: $doing"
    "$@"
    echo "==> compose: $doing: $((SECONDS - began)) s"
}

# Says at the end which step it was that failed.
say_what_failed() {
    echo "==> compose: $doing: failed after $((SECONDS - began)) s" >&2
}

# Tells podman and buildah to keep everything that they build or run in a folder.
#
# If a second such folder is given, they also use its images.
configure_engine() {
    local folder=$1 others=${2:-}
    mkdir -p "$folder" "$kept/tmp"
    cat >"$folder/storage.conf" <<TOML
[storage]
driver = "overlay"
graphroot = "$folder/storage"
runroot = "$folder/run"

[storage.options]
additionalimagestores = [${others:+"\"$others/storage\""}]
TOML
    cat >"$folder/containers.conf" <<TOML
[containers]
cgroups = "disabled"

[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "crun"
tmp_dir = "$folder/tmp"

[engine.runtimes]
crun = ["$here/bin/crun"]

[network]
network_backend = "netavark"
network_config_dir = "$folder/networks"
TOML
    export CONTAINERS_CONF=$folder/containers.conf CONTAINERS_STORAGE_CONF=$folder/storage.conf
    # No systemd timers for health checks, and no containers to build in.
    export DISABLE_HC_SYSTEMD=true BUILDAH_ISOLATION=chroot
    # Where the builder's caches lie.
    export TMPDIR=$kept/tmp
}

# Waits until each of these containers is healthy, by running its health check: nothing else does so here.
await_health() {
    local name give_up=$((SECONDS + 600))
    for name in "$@"; do
        until podman healthcheck run "$name" >/dev/null 2>&1; do
            if ((SECONDS >= give_up)); then
                podman logs --tail 20 "$name" >&2 || true
                fail "$name was not healthy in 600 s; above is what it said at last"
            fi
            sleep 0.5
        done
    done
}
