#!/bin/sh
# Runs a command while Wine is up: run.sh PREFIX COMMAND [ARGUMENT]...
#
# The command finds in its environment
#   WINE   what a Windows program is to be run with, for example go test -exec "$WINE"
#   INNET  what a Linux program is to be run with that shall see the network that Wine sees
# Wine shows a Windows program the interfaces of the network namespace in which wineserver was started. That is a new one
# with nothing but loopback: no Windows program reaches a network from here, the host agent's 168.63.129.16 least of all.
# The command itself stays in the caller's network, because go may have to fetch modules.
#
# The prefix is not touched: Wine works on a clone, which is gone at the end, and so are all its processes.
set -eu

if [ "$1" != --inside ]; then
    exec 9</proc/self/ns/net # the way back
    exec unshare --net -- "$0" --inside "$@"
fi
shift
prefix=$(realpath "$1")
shift
server=/usr/lib/wine/wineserver64
# Without its preloader Wine finds no place for the data that all Windows programs share when the kernel, which places a program
# anew each time, has put the heap there: once in 5,000 starts it ends with exit code 1 and says nothing. So it is always put
# at the same place.
wine="setarch -R /usr/lib/wine/wine64"
export WINEPREFIX="$prefix.run.$$" WINEDEBUG=-all

finish() {
    "$server" -k || true # an error says that it is gone already
    "$server" -w || true
    rm -rf "$WINEPREFIX"
}
trap finish EXIT
trap 'exit 130' INT TERM

ip link set lo up
cp -al "$prefix" "$WINEPREFIX"
# wineserver writes a registry that has several links in place, that is into the prefix, too.
cp --remove-destination "$prefix"/*.reg "$WINEPREFIX"
"$server" -p 9<&-
# The first program starts Windows' services, which keep its standard streams; go test would wait for them.
$wine cmd /c exit </dev/null >/dev/null 2>&1 9<&-
INNET="nsenter --net=/proc/$$/ns/net"
export INNET WINE="$INNET $wine"
nsenter --net=/proc/self/fd/9 -- "$@"
