# shellcheck shell=bash
# Installs Debian packages; sourced by scripts that need some.

# Installs packages, as root or by sudo.
#
# No package is removed for them, and no server that they bring is started: the packages' scripts find
# stand-ins for the programs that would start it.
debian() {
    local as_root=() stand_ins code=0
    ((EUID == 0)) || as_root=(sudo)
    if ! type -P apt-get "${as_root[@]}" >/dev/null; then
        echo "install these yourself, here is no apt-get, or neither root nor sudo: $*" >&2
        exit 1
    fi
    stand_ins=$(mktemp -d)
    chmod a+rx "$stand_ins"
    ln -s /bin/true "$stand_ins/invoke-rc.d"
    ln -s /bin/true "$stand_ins/deb-systemd-invoke"
    {
        "${as_root[@]}" apt-get update -qq &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -qq --yes --no-install-recommends --no-remove \
                -o DPkg::Lock::Timeout=600 \
                -o DPkg::Path="$stand_ins:/usr/sbin:/usr/bin:/sbin:/bin" "$@" >/dev/null
    } || code=$?
    rm -r "$stand_ins"
    ((code == 0)) || echo "these packages were not installed: $*" >&2
    return "$code"
}
