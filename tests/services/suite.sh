# shellcheck shell=bash disable=SC2034,SC2154
# Programs from another Debian suite than this machine's, beside those that are installed; sourced.
#
# Its packages and all that they need, down to the C library, are unpacked into a folder under target/tools
# and run by their own loader: nothing is installed, nothing is configured, and nobody has to be root.
# What a moving suite has differs from day to day, so no test that every change must pass may need it.

# How many seconds it may take to get packages.
suite_patience=900

# Sets $tree to the folder of a suite's packages, whether they are there or not.
suite_tree() {
    local packages=("${@:2}")
    tree=$target/tools/debian-$1-$(echo "${packages[@]}" | sha256sum | head -c 12)
}

# Gets packages of a suite, once.
unpack_suite() {
    local suite=$1 packages=("${@:2}") made file
    suite_tree "$@"
    [[ ! -d $tree ]] || return 0
    type -P apt-get dpkg-deb >/dev/null || fail "there are no packages of Debian without apt-get and dpkg-deb"
    mkdir -p "$target/tools"
    made=$(mktemp -d "$tree.XXXXXX")
    mkdir -p "$made"/{lists,cache/archives}/partial "$made"/etc/{apt.conf,preferences}.d "$made"/root
    : >"$made/status"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "http://deb.debian.org/debian $suite main" >"$made/etc/sources.list"
    # A mirror that lags behind will do: what it has is signed all the same.
    cat >"$made/apt.conf" <<CONF
Acquire::Check-Valid-Until "false";
Dir::State "$made";
Dir::State::status "$made/status";
Dir::State::lists "$made/lists";
Dir::Cache "$made/cache";
Dir::Etc "$made/etc";
Dir::Etc::sourcelist "$made/etc/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Log "$made";
APT::Sandbox::User "";
APT::Install-Recommends "false";
Acquire::Languages "none";
Debug::NoLocking "true";
CONF
    {
        APT_CONFIG=$made/apt.conf timeout "$suite_patience" apt-get -qq update &&
            APT_CONFIG=$made/apt.conf timeout "$suite_patience" \
                apt-get -qq --yes --download-only install "${packages[@]}"
    } >"$made/said" 2>&1 || {
        cat "$made/said" >&2
        rm -r "$made"
        fail "these packages of $suite cannot be had: ${packages[*]}"
    }
    for file in "$made"/cache/archives/*.deb; do
        dpkg-deb -x "$file" "$made/root"
    done
    mkdir "$made/bin"
    rm -r "$made"/{cache,lists}
    # Somebody else may have been quicker.
    mv -T "$made" "$tree" 2>/dev/null || rm -r "$made"
}

# Makes a program of $tree callable as $tree/bin/NAME: takes NAME and the program's path in the tree.
suite_program() {
    local name=$1 path=$2 loader libraries
    [[ ! -x $tree/bin/$name ]] || return 0
    loader=$(echo "$tree"/root/usr/lib*/ld-linux-*.so.?)
    libraries=$(echo "$tree"/root/usr/lib/*-linux-gnu)
    # A process is named after the file that is executed, which is the loader.
    mkdir -p "$tree/loader"
    ln -sf "$loader" "$tree/loader/$name"
    printf '#!/bin/sh\nexec %q --library-path %q %q "$@"\n' \
        "$tree/loader/$name" "$libraries" "$tree/root/$path" >"$tree/bin/$name.new"
    chmod +x "$tree/bin/$name.new"
    mv "$tree/bin/$name.new" "$tree/bin/$name"
}
