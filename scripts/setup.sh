#!/bin/sh
# Installs what the Makefile's goals need and what is missing: setup.sh [build|demo|test|lint|windows]...
# On Debian and Ubuntu it installs packages, as root; elsewhere, and without root, it names what is missing.
# When nothing is missing it changes nothing and asks the network for nothing.
set -eu

PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin # where sudo, su and plain users may not look
missing=                                     # "what:package" of each thing that is not there

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

need_cgo() { # the race detector's runtime is linked by the C compiler
    need gcc gcc
    if ! echo '#include <stdlib.h>' | gcc -E - >/dev/null 2>&1; then
        missing="$missing C-headers:libc6-dev"
    fi
}

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
        need dbus-daemon dbus
        ;;
    lint)
        need_go
        need git git
        need shellcheck shellcheck
        ;;
    windows) # Wine without 32 bits and without a display, and a C compiler for Windows: docs/windows.md
        need_go
        need /usr/lib/wine/wine64 wine64
        need x86_64-w64-mingw32-gcc gcc-mingw-w64-x86-64-win32
        need ip iproute2
        ;;
    *)
        echo "setup: unknown goal '$goal': one of build, demo, test, lint, windows" >&2
        exit 2
        ;;
    esac
done

[ -n "$missing" ] || exit 0

things='' packages=''
for m in $missing; do
    things="$things ${m%%:*}"
    packages="$packages ${m##*:}"
done

if ! command -v apt-get >/dev/null; then
    echo "setup: missing:$things. Install them with this system's package manager (on Debian:$packages)" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "setup: missing:$things. As root: apt-get install --no-install-recommends$packages" >&2
    exit 1
fi

echo "setup: installing$packages"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of package names
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 $packages >/dev/null
