#!/bin/sh
# Installs what the Makefile's goals need and what is missing: setup.sh [build|demo|test|lint|windows|release|install|runtimes|
# kernels|cluster]...
# On Debian and Ubuntu it installs packages, as root; elsewhere, and without root, it names what is missing.
# When nothing is missing it changes nothing and asks the network for nothing.
set -eu

PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin # where sudo, su and plain users may not look
missing=                                     # "what:package" of each thing that is not there

exec 3>&1 # for people, where a command's own output is not

# apt ARGUMENT...: apt-get, which waits up to ten minutes for others that hold one of apt's or dpkg's locks: a fresh VM upgrades
# itself. apt's own DPkg::Lock::Timeout is for dpkg's locks only, not for those of the package lists and archives.
apt() {
    apt_until=$(($(date +%s) + 600)) apt_said=
    apt_log=$(mktemp)
    while :; do
        apt_status=0
        LC_ALL=C apt-get "$@" 2>"$apt_log" || apt_status=$?
        apt_lock=$(sed -n -e 's/^E: Could not get lock //p' -e '/locked by another process/p' "$apt_log" | head -n 1)
        if [ "$apt_status" -eq 0 ] || [ -z "$apt_lock" ] || [ "$(date +%s)" -ge "$apt_until" ]; then
            break
        fi
        [ -n "$apt_said" ] || echo "setup: waiting for $apt_lock" >&3
        apt_said=yes
        sleep 1
    done
    sed '/^W: Download is performed unsandboxed/d' "$apt_log" >&2 # which is so for root in a folder of its own
    rm -f "$apt_log"
    return "$apt_status"
}

# fetch PACKAGE...: into the working directory. Where the lists are too old, they are fetched first.
fetch() {
    apt download -qq "$@" 2>/dev/null || { apt update -qq && apt download -qq "$@"; }
}

need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null || missing="$missing $1:$2"
}

need_go() {
    if ! command -v go >/dev/null; then
        echo "setup: Go is missing: install Go 1.26 or newer, https://go.dev/doc/install" >&2
        exit 1
    fi
    # From 1.21 on, Go fetches by itself the newer toolchain that go.mod asks for.
    case $(go env GOVERSION) in
    go1.? | go1.?.* | go1.1? | go1.1?.* | go1.20 | go1.20.*)
        echo "setup: $(go env GOVERSION) is too old: install Go 1.26 or newer, https://go.dev/doc/install" >&2
        exit 1
        ;;
    esac
    # Modules come over TLS.
    [ -n "${SSL_CERT_FILE:-}" ] || [ -s /etc/ssl/certs/ca-certificates.crt ] || [ -s /etc/pki/tls/certs/ca-bundle.crt ] ||
        [ -s /etc/ssl/cert.pem ] || missing="$missing CA-certificates:ca-certificates"
}

need_apt() { # need_apt MESSAGE: what is missing, where there is no apt-get to install it
    command -v apt-get >/dev/null && return
    echo "setup: missing:$1" >&2
    exit 1
}

need_cgo() { # the race detector's runtime is linked by the C compiler
    need gcc gcc
    if ! echo '#include <stdlib.h>' | gcc -E - >/dev/null 2>&1; then
        missing="$missing C-headers:libc6-dev"
    fi
}

need_systemd() { # the real networkd and resolved, which the tests start in namespaces of their own
    [ -x /lib/systemd/systemd-networkd ] || missing="$missing systemd-networkd:systemd"
    [ -x /lib/systemd/systemd-resolved ] || [ -x "$systemd/lib/systemd/systemd-resolved" ] || fetch_resolved=yes
}

# Installed, systemd-resolved would take over the machine's own name resolution. So it is only unpacked.
systemd=$(dirname "$0")/../output/systemd
fetch_resolved=
unpack_resolved() {
    need_apt " /lib/systemd/systemd-resolved. Install it with this system's package manager"
    echo "setup: unpacking systemd-resolved into output/systemd"
    rm -rf "$systemd"
    mkdir -p "$systemd"
    (cd "$systemd" && fetch systemd-resolved)
    dpkg-deb -x "$systemd"/systemd-resolved_*.deb "$systemd"
}

need_networkmanager() { # the real one, likewise
    [ -x /usr/sbin/NetworkManager ] || [ -e "$networkmanager/.unpacked" ] || fetch_networkmanager=yes
}

# Installed, it would take over the machine's own network. So it is only unpacked, with the libraries that are missing here.
networkmanager=$(dirname "$0")/../output/networkmanager
fetch_networkmanager=
unpack_networkmanager() {
    need_apt " /usr/sbin/NetworkManager. Install it with this system's package manager"
    echo "setup: unpacking NetworkManager into output/networkmanager"
    rm -rf "$networkmanager"
    mkdir -p "$networkmanager/packages/partial"
    fetch_packages "$networkmanager/packages" network-manager || { apt-get update -qq && fetch_packages "$networkmanager/packages" network-manager; }
    for package in "$networkmanager"/packages/*.deb; do
        dpkg-deb -x "$package" "$networkmanager"
    done
    touch "$networkmanager/.unpacked"
}
fetch_packages() { # fetch_packages FOLDER PACKAGE: the package and what it needs that is not installed
    (cd "$1" && apt-get install -qq -y --download-only --no-install-recommends -o Debug::NoLocking=1 -o Dir::Cache::archives="$PWD" "$2" >/dev/null 2>&1)
}

# Nodes that the installers are tried on: this machine's release and Ubuntu's, of the essential packages, wget and curl, and a
# busybox alone.
node=$(dirname "$0")/../output/node
fetch_node=
# Where Ubuntu's packages are; Ubuntu has those of other processors elsewhere.
case $(uname -m) in
x86_64) UBUNTU_MIRROR=${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu} ;;
*) UBUNTU_MIRROR=${UBUNTU_MIRROR:-http://ports.ubuntu.com/ubuntu-ports} ;;
esac
UBUNTU_RELEASE=noble
need_node() {
    [ -e "$node/.made" ] || fetch_node=yes
}
make_node() {
    echo "setup: unpacking nodes into output/node"
    rm -rf "$node"
    mkdir -p "$node/busybox/bin"
    # The release of this machine, from where this machine has its packages.
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mmdebstrap --quiet --variant=essential --include=wget,curl "$release" "$node/debian"
    # Ubuntu's archive may be out of reach where packages come from a mirror.
    if ! ubuntu "$node/ubuntu" 2>"$node/ubuntu.log"; then
        rm -rf "$node/ubuntu"
        echo "setup: no packages from $UBUNTU_MIRROR: output/node/ubuntu.log says why" >&2
    fi
    (cd "$node" && fetch busybox-static)
    dpkg-deb -x "$node"/busybox-static_*.deb "$node/unpacked"
    mv "$node/unpacked/bin/busybox" "$node/busybox/bin/" 2>/dev/null || mv "$node/unpacked/usr/bin/busybox" "$node/busybox/bin/"
    for applet in $("$node/busybox/bin/busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$node/busybox/bin/$applet"
    done
    (cd "$node/busybox" && mkdir -p dev etc opt proc root run sys tmp var/lib var/log && ln -s ../run var/run && ln -s bin sbin && mkdir usr && ln -s ../bin usr/bin)
    touch "$node/.made"
}

ubuntu() { # ubuntu FOLDER: signed by Ubuntu's archive (F6EC B376 2474 EDA9 D21B 7022 8719 20D1 991B C93C), whose key Debian does not have
    key=$(realpath "$(dirname "$0")/../test/install/ubuntu-archive.asc")
    mmdebstrap --quiet --variant=essential --include=wget,curl "$UBUNTU_RELEASE" "$1" \
        "deb [signed-by=$key] $UBUNTU_MIRROR $UBUNTU_RELEASE main"
}

# A machine with systemd and those who manage a host's network, to boot in namespaces. What it starts is for the tests to say.
machine=$(dirname "$0")/../output/machine
fetch_machine=
need_machine() {
    need mmdebstrap mmdebstrap
    [ -e "$machine/.made" ] || fetch_machine=yes
}
make_machine() {
    echo "setup: unpacking a machine with systemd into output/machine"
    rm -rf "$machine"
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mmdebstrap --quiet --variant=minbase --include=systemd,dbus,network-manager,firewalld,nftables,iptables,iproute2,procps "$release" "$machine"
    rm -rf "$machine"/etc/systemd/system/*.wants
    touch "$machine/.made"
}

# containerd and runc for nodes of their own, and busybox for an image. Installed, containerd would be started as the machine's.
containerd=$(dirname "$0")/../output/containerd
fetch_containerd=
need_containerd() {
    [ -e "$containerd/.unpacked" ] || fetch_containerd=yes
}
unpack_containerd() {
    need_apt " packages of Debian or Ubuntu with containerd, runc and busybox-static: this needs apt-get"
    echo "setup: unpacking containerd, runc and busybox into output/containerd"
    rm -rf "$containerd"
    mkdir -p "$containerd"
    packages='containerd runc busybox-static'
    # shellcheck disable=SC2086 # a list of package names
    (cd "$containerd" && fetch $packages)
    for package in "$containerd"/*.deb; do
        dpkg-deb -x "$package" "$containerd"
    done
    # Newer releases have one folder for both.
    [ -e "$containerd/bin/busybox" ] || ln -s usr/bin "$containerd/bin"
    touch "$containerd/.unpacked"
}

# A node of Kubernetes, and what an image of its tests has beside a program of theirs. Installed, containerd would be started as the machine's.
cluster=$(dirname "$0")/../output/cluster
fetch_cluster=
need_cluster() {
    need mmdebstrap mmdebstrap
    [ -e "$cluster/.made" ] || fetch_cluster=yes
}
make_cluster() {
    echo "setup: unpacking a node and an image's layer into output/cluster"
    rm -rf "$cluster/node" "$cluster/agnhost.tar"
    mkdir -p "$cluster"
    # shellcheck source=/dev/null
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    userland minbase containerd,runc,conntrack,iptables,nftables,ipset,iproute2,procps,kmod,ethtool,util-linux,mount,iputils-ping "$cluster/node"
    userland essential curl,bind9-dnsutils,netcat-openbsd,iproute2,iptables,conntrack,iputils-ping,procps "$cluster/agnhost.tar"
    (cd "$cluster" && fetch busybox-static)
    dpkg-deb --fsys-tarfile "$cluster"/busybox-static_*.deb | tar -x -O --wildcards '*bin/busybox' >"$cluster/busybox"
    chmod +x "$cluster/busybox"
    rm "$cluster"/*.deb
    touch "$cluster/.made"
}
userland() { # userland VARIANT PACKAGES FOLDER or FILE.tar: of the release, without what people read
    mmdebstrap --quiet --variant="$1" --include="$2" --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' "$release" "$3"
}

# Debian's kernels of three releases, the newest of each, as its images for Azure have them. Only unpacked: this machine keeps its own.
kernels=$(dirname "$0")/../output/kernels
fetch_kernels=
# Where Debian's releases are; old ones move to the second.
DEBIAN_MIRRORS=${DEBIAN_MIRRORS:-http://deb.debian.org http://archive.debian.org}
need_kernels() {
    if [ "$(uname -m)" != x86_64 ]; then
        echo "setup: the kernels are amd64's, and what runs on them is this machine's: it has to be x86_64" >&2
        exit 1
    fi
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing Debian's-keys:debian-archive-keyring"
    [ -e "$kernels/.unpacked" ] || fetch_kernels=yes
}
unpack_kernels() {
    need_apt " kernels from packages of Debian: this needs apt-get"
    rm -rf "$kernels"
    mkdir -p "$kernels"
    unpack_kernel 5.10 bullseye
    unpack_kernel 6.1 bookworm
    unpack_kernel 6.12 trixie
    touch "$kernels/.unpacked"
}
# unpack_kernel SERIES RELEASE: with package lists of its own, since this machine's are its own release's.
unpack_kernel() {
    lists=$(realpath "$kernels")/lists image=
    for mirror in $DEBIAN_MIRRORS; do
        rm -rf "$lists"
        mkdir -p "$lists/lists/partial" "$lists/archives/partial"
        : >"$lists/status"
        signed='[arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
        echo "deb $signed $mirror/debian $2 main
deb $signed $mirror/debian-security $2-security main" >"$lists/sources.list"
        echo "Dir::State::lists \"$lists/lists\"; Dir::State::status \"$lists/status\"; Dir::Cache::archives \"$lists/archives\"; Dir::Cache::pkgcache \"\"; Dir::Cache::srcpkgcache \"\";
Dir::Etc::sourcelist \"$lists/sources.list\"; Dir::Etc::sourceparts \"/dev/null\"; Dir::Etc::preferencesparts \"/dev/null\"; Dir::Etc::preferences \"/dev/null\";
APT::Architecture \"amd64\"; Acquire::Check-Valid-Until \"false\";" >"$lists/apt.conf"
        # The package of this name holds nothing but the name of the newest.
        by_lists apt update -qq >"$lists/errors" 2>&1 || continue
        image=$(by_lists apt-cache depends linux-image-cloud-amd64 2>>"$lists/errors" | sed -n 's/^ *Depends: //p')
        [ -z "$image" ] || break
    done
    if [ -z "$image" ]; then
        echo "setup: no kernel $1 of Debian's $2 at $DEBIAN_MIRRORS: $(tail -n 1 "$lists/errors")" >&2
        exit 1
    fi
    echo "setup: unpacking $image into output/kernels/$1"
    (cd "$lists" && by_lists apt download -qq "$image")
    dpkg-deb -x "$lists"/linux-image-*.deb "$kernels/$1"
    rm -rf "$lists"
}
by_lists() (
    export APT_CONFIG="$lists/apt.conf"
    "$@"
)

for goal in "${@:-build}"; do
    case $goal in
    build | demo) # plugins, fabric and demo speak netlink themselves: no tool is called
        need_go
        ;;
    test) # ip, nft, iptables: what an operator sees, and the reference plugins call; strace counts and injects
        need_go
        need_cgo
        need ip iproute2
        need nft nftables
        need iptables iptables
        need strace strace
        need sysctl procps
        need dbus-daemon dbus
        need ebtables-nft iptables
        need_systemd
        need_networkmanager
        need_machine
        ;;
    lint)
        need_go
        need git git
        need shellcheck shellcheck
        need openssl openssl
        need mandoc mandoc
        need node nodejs
        need npm npm
        ;;
    windows) # Wine without 32 bits and without a display, and a C compiler for Windows: docs/windows.md
        need_go
        need /usr/lib/wine/wine64 wine64
        need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64-win32
        need ip iproute2
        ;;
    release)
        need_go
        need dpkg-deb dpkg
        ;;
    install) # nodes to install on, made of packages; what installs there, and what an operator sees
        need_go
        need git git
        need mmdebstrap mmdebstrap
        need openssl openssl
        need ip iproute2
        need nft nftables
        need sysctl procps
        need ebtables-nft iptables
        need_node
        ;;
    runtimes) # containerd on nodes of its own; what the chained plugins call, and what an operator sees
        need_go
        need ip iproute2
        need nft nftables
        need iptables iptables
        need nsenter util-linux
        need_containerd
        ;;
    cluster) # nodes of Kubernetes, and images; what an operator sees
        need_go
        need nsenter util-linux
        need_machine # who manages the nodes' network
        need_cluster
        ;;
    kernels) # qemu and kernels; the tools that go into the guests, with what lists and loads modules there
        need_go
        need qemu-system-x86_64 qemu-system-x86
        need kmod kmod
        need depmod kmod
        need ip iproute2
        need nft nftables
        need iptables iptables
        need ebtables-nft iptables
        [ -e /etc/ethertypes ] || missing="$missing ethertypes:netbase"
        need sysctl procps
        need mount mount
        need ldd libc-bin
        need_kernels
        ;;
    *)
        echo "setup: unknown goal '$goal': one of build, demo, test, lint, windows, release, install, runtimes, kernels, cluster" >&2
        exit 2
        ;;
    esac
done

if [ -z "$missing" ]; then
    [ -z "$fetch_resolved" ] || unpack_resolved
    [ -z "$fetch_networkmanager" ] || unpack_networkmanager
    [ -z "$fetch_node" ] || make_node
    [ -z "$fetch_machine" ] || make_machine
    [ -z "$fetch_containerd" ] || unpack_containerd
    [ -z "$fetch_kernels" ] || unpack_kernels
    [ -z "$fetch_cluster" ] || make_cluster
    exit 0
fi

things='' packages=''
for m in $missing; do
    things="$things ${m%%:*}"
    packages="$packages ${m##*:}"
done

need_apt "$things. Install them with this system's package manager (on Debian:$packages)"
if [ "$(id -u)" -ne 0 ]; then
    echo "setup: missing:$things. As root: apt-get install --no-install-recommends$packages" >&2
    exit 1
fi

echo "setup: installing$packages"
export DEBIAN_FRONTEND=noninteractive
apt update -qq
# shellcheck disable=SC2086 # a list of package names
apt install -y -qq --no-install-recommends $packages >/dev/null
[ -z "$fetch_resolved" ] || unpack_resolved
[ -z "$fetch_networkmanager" ] || unpack_networkmanager
[ -z "$fetch_node" ] || make_node
[ -z "$fetch_machine" ] || make_machine
[ -z "$fetch_containerd" ] || unpack_containerd
[ -z "$fetch_kernels" ] || unpack_kernels
[ -z "$fetch_cluster" ] || make_cluster
