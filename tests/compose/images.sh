# shellcheck shell=bash disable=SC2154,SC2016
# Builds stand-ins for the images that docker-compose.yml and the Dockerfile name, without a registry: from
# Debian's packages and from what the machine has, under the very same names; sourced.

# Prints the name of the image that a stand-in replaces, as in the compose file or the Dockerfile.
name_of() {
    local found
    found=$(sed -nE "s#^(FROM| +image:) (docker\.io/library/$1:[^ ]+).*#\2#p" \
        "$workspace/docker-compose.yml" "$workspace/bins/Dockerfile" | sort -u)
    [[ -n $found && $found != *$'\n'* ]] || fail "which image stands \`$1\` for: \`$found\`?"
    echo "$found"
}

# Makes an image of a base system from Debian's archive.
make_base() {
    local suite=$1 name=$2 folder=$kept/bases/$1
    ! podman image exists "$name" || return 0
    rm -rf "$folder"
    mkdir -p "$kept/bases"
    debootstrap --variant=minbase "$suite" "$folder" >"$kept/debootstrap-$suite.log" ||
        fail "$(tail -n 20 "$kept/debootstrap-$suite.log")"
    tar -C "$folder" -c . | podman import --quiet - "$name" >/dev/null
    rm -rf "$folder"
}

make_bases() {
    local suite
    make_base bookworm "$(name_of debian)"
    for suite in trixie sid; do
        make_base "$suite" "localhost/debian:$suite"
    done
}

# Copies what the build of a stand-in needs into its folder.
prepare_elasticsearch() {
    bash -euo pipefail -c '
        source tests/services/instances.sh
        source tests/debian.sh
        use elasticsearch
        type -P "${programs[@]}" >/dev/null || debian "${packages[@]}"
        install
        cp -al "$libraries" "$1/libraries"
    ' -- "$1"
    cp "$workspace/tests/services/elasticsearch/log4j2.properties" "$1"
}

prepare_rust() {
    local sysroot
    sysroot=$(rustc --print sysroot)
    mkdir "$1/toolchain"
    cp -a "$sysroot/bin" "$sysroot/lib" "$1/toolchain"
    cp -L /etc/ssl/certs/ca-certificates.crt "$1"
}

# Prints what a stand-in is made of; it is rebuilt whenever this changes.
identity_of() {
    cat "$here/stand_ins/$1"*
    [[ $1 != rust ]] || rustc --version
    [[ $1 != elasticsearch ]] || cat "$workspace"/tests/services/elasticsearch/*
    podman image inspect --format '{{.Id}}' "$(sed -n 's/^FROM //p' "$here/stand_ins/$1")"
}

make_stand_in() {
    local service=$1 name wanted folder=$state/$1
    name=$(name_of "$service")
    wanted=$(identity_of "$service" | sha256sum | head -c 16)
    [[ $(podman image inspect --format '{{.Labels.made_of}}' "$name" 2>/dev/null) != "$wanted" ]] || return 0
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$here/stand_ins/$service"* "$folder"
    ! declare -F "prepare_$service" >/dev/null || "prepare_$service" "$folder"
    buildah bud --quiet --pull-never --isolation chroot --label made_of="$wanted" --tag "$name" \
        --file "$folder/$service" "$folder" >"$kept/stand_in-$service.log" 2>&1 ||
        fail "$service: $(tail -n 20 "$kept/stand_in-$service.log")"
    rm -rf "$folder"
}

make_stand_ins() {
    local service
    for service in haproxy redis rabbitmq mysql elasticsearch rust; do
        make_stand_in "$service"
    done
}
