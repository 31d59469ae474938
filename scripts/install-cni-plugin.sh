#!/bin/sh
# Installs, upgrades and removes the Azure VNET CNI plugins on a Linux node: docs/install.md.
# What it needs beyond a POSIX shell is on every node, busybox's included: tar, gzip, sha256sum, cmp, mktemp; curl or wget.
set -eu
umask 022
PATH=$PATH:/usr/sbin:/sbin:/usr/bin:/bin
export LC_ALL=C # names are sorted as runtimes sort them
self=${0##*/}

bin=/opt/cni/bin
conf=/etc/cni/net.d
store=/var/lib/azure-vnet-cni # the versions that are kept, and which of them is in use
conflist=10-azure.conflist
modes='.transparent .bridge .tunnel' # of the configurations that we ship; the first is $conflist itself, the others are beside it
plugins='azure-vnet azure-vnet-ipam'
units=/etc/systemd/system
served='azure-vnet-repair.service azure-vnet-metrics.service azure-vnet-metrics.timer' # of systemd; where that is not, they are left out
textfile=/var/lib/prometheus/node-exporter/azure-vnet.prom # what the metrics' service writes
completions=/usr/share/bash-completion/completions
completion=azure-vnet.bash # for that folder, under the name of each plugin; where there is none, it is left out
reference='loopback portmap' # of containernetworking/plugins: every runtime needs the first, our configuration names the second

# Where releases come from; for a mirror with the same layout.
releases=${AZURE_CNI_RELEASES:-https://github.com/Azure/azure-container-networking/releases}
reference_releases=${CNI_PLUGINS_RELEASES:-https://github.com/containernetworking/plugins/releases}
reference_version=v1.9.1

usage() {
    cat <<END
Installs the Azure VNET CNI plugins into $bin, and their configuration into $conf.

Usage: $self [--from FILE|DIR|URL] [--key FILE] [--mode MODE] [--no-node-setup] [--bin-dir DIR] [--conf-dir DIR] [--force]
           [--dry-run | --watch SECONDS] [version] [cniVersion]
       $self --rollback  [--dry-run]     back to the version before
       $self --uninstall [--dry-run]     restore the host's network, and remove what was installed

  version      of the plugins, for example v2.0.0; without it, the newest
  cniVersion   of the reference plugins loopback and portmap; without it, they are installed ($reference_version) only if they are missing
  --from       take the archives from a file, from a folder, or from a web server's folder, and not from
               $releases
  --key        the public key, in PEM, that has signed the release (SHA256SUMS.sig): nothing else is installed. Needs openssl
  --mode       of the configuration: transparent, bridge or tunnel. Without it, one that was installed keeps its mode, and a new
               one is transparent
  --no-node-setup
               write no files for systemd, the programs that manage the host's network, and cloud-init
  --bin-dir, --conf-dir
               folders of the plugins and of their configuration, for a runtime that has others; both are remembered
  --node-root  where the node's files are, if this is a container
  --force      go on where this node's configuration is one that these plugins refuse
  --dry-run    check all, change nothing, say what would be done
  --watch      go on: look every so many seconds, and install again what somebody has changed

Exit codes: 0 done, or nothing to do; 1 failed, and nothing was changed unless the message says so; 2 wrong usage;
3 this machine cannot run the plugins, or they cannot serve its configuration.
END
}

# Some shells' own echo takes backslashes for more than they are, and messages of the plugins have them.
echo() { printf '%s\n' "$*"; }

say() { echo "$self: $*"; }
die() { # die CODE WHAT REMEDY
    echo "$self: $2" >&2
    [ -z "${3:-}" ] || echo "$self: remedy: $3" >&2
    exit "$1"
}
misused() {
    echo "$self: $1" >&2
    usage >&2
    exit 2
}

# --- the machine ---

check_root() {
    [ "$(id -u)" -eq 0 ] || die 1 "needs root, to write to $bin" "sudo $self ..."
}

check_machine() {
    [ "$(uname -s)" = Linux ] || die 3 "this is $(uname -s); this script is for Linux" "on Windows: install-cni-plugin.ps1"
    case $(uname -m) in
    x86_64 | amd64) arch=amd64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) die 3 "there are no plugins for $(uname -m)" "build them: docs/cni.md" ;;
    esac
    release=$(uname -r)
    major=${release%%.*} minor=${release#*.}
    minor=${minor%%[!0-9]*}
    if [ "$major" -lt 5 ] || { [ "$major" -eq 5 ] && [ "${minor:-0}" -lt 4 ]; }; then
        die 3 "kernel $release is too old" "use 5.4 or newer: docs/network.md, Kernel"
    fi
    for tool in tar gzip sha256sum mktemp cmp; do
        command -v "$tool" >/dev/null || die 3 "$tool is missing" "install it with this system's package manager"
    done
    # A package's files are the package manager's.
    if [ -e /var/lib/dpkg/info/azure-vnet-cni.list ] && [ -e /var/lib/dpkg/info/azure-vnet-cni.prerm ]; then
        die 1 "the plugins are installed as a Debian package" "upgrade it: dpkg -i azure-vnet-cni_VERSION_$arch.deb; or apt-get purge azure-vnet-cni first"
    fi
}

# examine lets the new plugin look at this node before anything is changed. The kernel must have everything; what else is wrong is said
# by doctor, and does not stop the installation, which may be what puts it right. That the plugins are missing is no news. A container
# that only installs has not the rights that doctor needs, which then says nothing here; each ADD looks again.
examine() { # examine FOLDER
    version_said=$("$1/azure-vnet" --version 2>&1) || die 3 "the new azure-vnet does not run on this machine: $version_said" "see that $1 is not mounted noexec, and that the archive is for $arch"
    "$1/azure-vnet" doctor --level warning --ignore plugins --config "$(configured "$1")" --data-dir "$(data_dir)" >"$work/doctor" 2>/dev/null || :
    missing=$(grep -A 1 '^failure  *kernel ' "$work/doctor" || :)
    [ -z "$missing" ] || die 3 "the kernel cannot run the plugins: $missing" "docs/network.md, Kernel"
    sed '$d' "$work/doctor" >"$work/findings" # the last line counts them
    [ -s "$work/findings" ] || return 0
    say "doctor finds on this node, before anything is changed:"
    # The remedies are for after the installation.
    sed -e "s,$1/azure-vnet,$bin/azure-vnet,g" -e "s,$1/${conflist}[.a-z]*,$conf/$conflist,g" -e "s/^/$self:   /" "$work/findings"
}

# check_configuration looks whether the new plugin can serve this node, before it replaces one that does: each ADD, and each DEL, would
# fail from then on. The new plugin judges, and names the field.
check_configuration() { # check_configuration FOLDER
    for f in "$conf"/*.conf "$conf"/*.conflist "$conf"/*.json; do
        grep -q '"azure-vnet"' "$f" 2>/dev/null || continue
        refused=$("$1/azure-vnet" doctor --config "$f" --data-dir "$work" 2>/dev/null | sed -n 's/^failure  *configuration  *\(.*unsupported value.*\)/\1/p' || :)
        [ -n "$refused" ] || continue
        [ -z "$force" ] || { say "note: $refused"; continue; }
        die 3 "the plugins cannot serve this node: $refused" "keep the plugin that is there: docs/migration.md, What cannot be taken over; --force goes on"
    done
}

# workplace makes the folder for what is under way. It lies beside the versions that are kept, so that a rename is all that makes
# it one of them. The lock keeps a second installer out; the kernel gives it back when this process ends, however it ends.
work=
workplace() {
    trap 'exit 1' HUP INT TERM
    if [ -n "$dry_run" ]; then
        dry_workplace
        return 0
    fi
    mkdir -p "$store" || die 1 "cannot make $store" "make the file system writable"
    if command -v flock >/dev/null; then
        exec 9>"$store/lock"
        { flock -n 9 && [ -e "$store/lock" ]; } || die 1 "another $self is at work" "wait for its end"
    else
        say "note: flock is missing, so nothing keeps a second $self out"
    fi
    trap 'rm -rf "$work"; [ -e "$store/state" ] || rm -rf "$store"' EXIT # without a state nothing was installed
    rm -rf "$store"/work.*
    work=$(mktemp -d "$store/work.XXXXXX")
}

# dry_workplace is for what is thrown away. The new plugin is run there, so it is a folder from which programs may be run: /tmp is not
# on every machine.
dry_workplace() {
    trap 'rm -rf "$work"' EXIT
    for place in "${TMPDIR:-/tmp}" /run /var/tmp "$HOME"; do
        work=$(mktemp -d "$place/azure-vnet-cni.XXXXXX" 2>/dev/null) || continue
        printf '#!/bin/sh\n' >"$work/runs" && chmod 700 "$work/runs"
        if "$work/runs" 2>/dev/null; then
            rm -f "$work/runs"
            return 0
        fi
        rm -rf "$work"
    done
    die 1 "programs can be run from none of ${TMPDIR:-/tmp}, /run, /var/tmp" "name a folder where they can: TMPDIR=DIR"
}

# --- getting ---

fetch() { # fetch SOURCE NAME [REMEDY]: a file from the folder or web folder SOURCE into the workplace
    case $1 in
    http://* | https://*)
        if command -v curl >/dev/null; then
            case $1 in
            https:*) redirects=https ;;
            *) redirects=http,https ;;
            esac
            why=$(curl --fail --location --proto-redir "=$redirects" --silent --show-error --connect-timeout 20 --speed-limit 1 --speed-time 60 -o "$work/$2" "$1/$2" 2>&1)
        elif command -v wget >/dev/null; then
            options=
            case $(wget --help 2>&1 || :) in
            *GNU*) options='-t 3 -T 60' ;; # it alone tries again by itself, 20 times
            *'-T '*) options='-T 60' ;;
            esac
            # shellcheck disable=SC2086 # several words or none
            why=$(wget $options -O "$work/$2" "$1/$2" 2>&1)
        else
            die 3 "neither curl nor wget is here" "install one, or get the archives elsewhere and use --from DIR"
        fi || die 1 "cannot get $1/$2: $(echo "$why" | tail -n 2 | tr '\n' ' ')" "${3:-check the version and the way to the server; nothing was installed}"
        ;;
    *)
        [ -f "$1/$2" ] || die 1 "$1 has no $2" "${3:-put it there: it is in the release}"
        cp "$1/$2" "$work/$2" || die 1 "cannot copy $1/$2" "make room in $store"
        ;;
    esac
}

# The remedy for a file that is missing: a release of ours has not the reference plugins, which are other people's.
whence() { # whence ARCHIVE
    case $from,$1 in
    http://* | https://* | ,*) ;; # "check the way to the server"
    *,cni-plugins-*)
        of=${1#cni-plugins-linux-"$arch"-}
        echo "put it there with its sum, from https://github.com/containernetworking/plugins/releases/tag/${of%.tgz}"
        ;;
    esac
}

# signed takes a sum from those of the release, if our key has signed them (as cosign sign-blob does).
signed() { # signed SOURCE FILE
    if [ ! -e "$work/SHA256SUMS" ]; then
        command -v openssl >/dev/null || die 3 "openssl is missing, which verifies signatures" "install it with this system's package manager"
        fetch "$1" SHA256SUMS "$(whence SHA256SUMS)"
        fetch "$1" SHA256SUMS.sig "the release is not signed: take another one, or verify it in another way; nothing was installed"
        if ! { openssl base64 -d -A -in "$work/SHA256SUMS.sig" -out "$work/signature" &&
            openssl dgst -sha256 -verify "$key" -signature "$work/signature" "$work/SHA256SUMS"; } >/dev/null 2>&1; then
            die 1 "$1/SHA256SUMS was not signed by $key" "see that both are what the release's maker has published; nothing was installed"
        fi
    fi
    sum=''
    while read -r s f; do [ "$f" != "$2" ] || sum=$s; done <"$work/SHA256SUMS"
    [ -n "$sum" ] || die 1 "$1/SHA256SUMS, which is signed, does not have $2" "name a file of that release; nothing was installed"
}

# A sum of the release's: 64 digits.
published() { # published SOURCE ARCHIVE
    if [ -n "$key" ]; then
        signed "$1" "$2"
        return 0
    fi
    fetch "$1" "$2.sha256" "$(whence "$2")"
    sum=$(cut -c 1-64 "$work/$2.sha256")
    case $sum in
    *[!0-9a-f]* | '') sum=short ;;
    esac
    [ ${#sum} -eq 64 ] || die 1 "$1/$2.sha256 is no checksum" "see that the server sends the file itself; nothing was installed"
}

fetch_verified() { # fetch_verified SOURCE ARCHIVE; the sum is published's
    fetch "$1" "$2" "$(whence "$2")"
    is=$(sha256sum <"$work/$2" | cut -c 1-64)
    [ "$is" = "$sum" ] || die 1 "$1/$2 is damaged: its SHA-256 is $is and should be $sum" "get it again; nothing was installed"
}

# resolve finds out which version is meant, and where it is.
resolve() {
    case $from in
    '')
        if [ -z "$version" ]; then
            fetch "$releases/latest/download" VERSION "name the version: $self v2.0.0; if there is no release yet, build one (make release), and use --from"
            version=$(cat "$work/VERSION")
        fi
        source=$releases/download/$version
        ;;
    http://* | https://*)
        source=${from%/}
        ;;
    *)
        if [ -d "$from" ]; then
            source=$(cd "$from" && pwd)
        elif [ -f "$from" ]; then
            source=$(cd "$(dirname "$from")" && pwd)
            named=${from##*/}
            case $named in
            azure-vnet-cni-linux-$arch-*.tgz) ;;
            *) die 1 "$from is no archive for this machine" "take azure-vnet-cni-linux-$arch-VERSION.tgz" ;;
            esac
            named=${named#azure-vnet-cni-linux-"$arch"-}
            named=${named%.tgz}
            [ -z "$version" ] || [ "$version" = "$named" ] || die 1 "$from is version $named, not $version" "name one of them"
            version=$named
        else
            die 1 "$from is not there" "name a file, a folder or a URL"
        fi
        ;;
    esac
    if [ -z "$version" ]; then
        fetch "$source" VERSION "name the version: $self --from $from v2.0.0"
        version=$(cat "$work/VERSION")
    fi
    if [ -n "$key" ] && [ -e "$work/VERSION" ]; then
        signed "$source" VERSION
        [ "$(sha256sum <"$work/VERSION" | cut -c 1-64)" = "$sum" ] || die 1 "VERSION is not the one that was signed" "name the version: $self --key $key v2.0.0"
    fi
    case $version in
    '' | .* | before | replaced | *[!A-Za-z0-9._+~-]*) die 1 "'$version' is no version" "for example v2.0.0" ;;
    esac
}

# --- the versions that are kept ---
# $store/versions/VERSION has the files of an archive, and its sum; "before" has what was there before the first install.
# $store/state has two words: the version in use, and the one before it. It is replaced before anything of $bin is: whoever is
# interrupted then goes on, or back, by the same commands.

read_state() {
    current='' previous=''
    [ ! -e "$store/state" ] || read -r current previous <"$store/state" || :
}

write_state() {
    echo "$current $previous" >"$store/state.new"
    mv -f "$store/state.new" "$store/state"
}

# known says that a file is one that we have installed, of whatever version.
known() { # known FILE NAME
    [ -e "$1" ] || return 1
    for one in "$store"/versions/*; do
        [ "${one##*/}" != before ] && [ -e "$one/$2" ] && cmp -s "$1" "$one/$2" && return 0
    done
    return 1
}

# shipped is the configuration of a version for a mode.
shipped() { # shipped FOLDER [MODE]
    case ${2:-transparent} in
    transparent) echo "$1/$conflist" ;;
    *) echo "$1/$conflist.$2" ;;
    esac
}

# known_mode is the mode of a configuration that is one of ours, of whatever version; nothing for one that somebody has made.
known_mode() { # known_mode FILE
    for m in $modes; do
        known "$1" "$(basename "$(shipped . "${m#.}")")" && echo "${m#.}" && return 0
    done
    return 0
}

# keep_before keeps plugins that somebody else has put there: they are the version before. What somebody has changed of ours is
# damage, and no version.
keep_before() {
    case $current in
    '' | before) ;;
    *) return 0 ;;
    esac
    foreign=
    for p in $plugins; do
        [ ! -e "$bin/$p" ] || known "$bin/$p" "$p" || foreign=yes
    done
    [ -n "$foreign" ] || return 0
    say "keeping the plugins that are in $bin as the version before"
    rm -rf "$store/versions/before"
    mkdir "$work/before"
    for p in $plugins; do
        [ ! -e "$bin/$p" ] || cp -p "$bin/$p" "$work/before/$p"
    done
    mv "$work/before" "$store/versions/before"
    current=before
}

forget_others() {
    for one in "$store"/versions/*; do
        case ${one##*/} in
        "$current" | "$previous" | before) ;;
        *) rm -rf "$one" ;;
        esac
    done
}

# --- putting in place ---

# place puts one file where it belongs, by a rename: whoever opens it meets the old one or the new one. The temporary name ends so
# that no runtime takes it for a configuration.
place() { # place FROM TO MODE
    if [ -e "$2" ] && cmp -s "$1" "$2"; then return 0; fi
    changed=yes
    temporary=${2%/*}/.${2##*/}.installing
    if ! { cp "$1" "$temporary" && chmod "$3" "$temporary" && sync "$temporary" && mv -f "$temporary" "$2"; }; then
        rm -f "$temporary"
        die 1 "cannot write $2" "make room, or the file system writable, and run the same command again: it goes on where this one stopped"
    fi
}

# folders makes those that are missing, and remembers them for the removal; which ones they are, for the commands to come.
folders() {
    make_folder "$bin"
    make_folder "$conf"
    printf '%s\n' "$bin" "$conf" >"$store/folders.new"
    mv -f "$store/folders.new" "$store/folders"
}

make_folder() { # make_folder DIR
    [ -d "$1" ] || [ -z "$1" ] || {
        make_folder "${1%/*}"
        { mkdir "$1" && echo "$1" >>"$store/created"; } || die 1 "cannot make $1" "make the file system writable"
    }
}

# known_folders are those of the installation that is there; other ones are refused.
known_folders() {
    [ -e "$store/state" ] && [ -e "$store/folders" ] || return 0
    { read -r kept_bin && read -r kept_conf; } <"$store/folders" || return 0
    for given in "${bin_dir:-$kept_bin},$kept_bin" "${conf_dir:-$kept_conf},$kept_conf"; do
        [ "${given%,*}" = "${given#*,}" ] || die 1 "the plugins are installed in $kept_bin, their configuration in $kept_conf" "--uninstall first"
    done
    bin=$kept_bin conf=$kept_conf
}

activate() { # activate VERSION
    for p in $plugins; do
        if [ -e "$store/versions/$1/$p" ]; then place "$store/versions/$1/$p" "$bin/$p" 755; else rm -f "$bin/$p"; fi
    done
    configure "$store/versions/$1"
    if [ -e "$store/versions/$1/azure-vnet" ] && [ "$1" != before ]; then prepare_node; fi
    for u in $served; do serve "$u" "$store/versions/$1/$u"; done
    offer_completion "$store/versions/$1/$completion"
}

# prepare_node lets the plugin write the files that the node needs; it says what it does. Nothing fails for it: what is missing,
# doctor names.
prepare_node() {
    [ -z "$no_setup" ] || return 0
    set -- "$bin/azure-vnet" host prepare ${node_root:+--root "$node_root"}
    [ "$conf" = /etc/cni/net.d ] || set -- "$@" --config "$(configured "$store/versions/$current")"
    node_files "$@"
}

# restore_node takes these files away.
restore_node() { # restore_node PLUGIN [--dry-run]
    plugin=$1
    shift
    node_files "$plugin" host restore ${node_root:+--root "$node_root"} "$@"
}

node_files() { # node_files COMMAND...
    told=$("$@" 2>&1) || told="$told
note: the node's files are not as they should be; the same command tries again"
    echo "$told" | sed -e '/ is there already\.$/d' -e '/^No file of azure-vnet/d' -e '/^$/d' -e "s/^/$self: /"
}

# configured is the configuration that counts when the version in a folder is installed.
configured() { # configured FOLDER
    other=$(others_configuration)
    there=$(known_mode "$conf/$conflist")
    if [ -n "$other" ]; then
        echo "$other"
    elif [ -e "$conf/$conflist" ] && [ -z "$there" ]; then
        echo "$conf/$conflist"
    else
        shipped "$1" "${mode:-$there}"
    fi
}

# offer_completion lets bash complete the plugins' commands. Nothing depends on it, so it fails nothing (/usr may be read-only).
offer_completion() { # offer_completion FILE
    for p in $plugins; do
        if [ ! -d "$completions" ] || [ ! -w "$completions" ]; then
            return 0
        elif [ -e "$completions/$p" ] && ! known "$completions/$p" "$completion"; then
            : # somebody's own
        elif [ -e "$1" ]; then
            place "$1" "$completions/$p" 644
        else
            rm -f "$completions/$p"
        fi
    done
}

# serve installs a unit, and enables a new one. What it runs sees by itself that there is a new azure-vnet. A unit that somebody has
# changed, masked or disabled stays so. A version without one has none. In a container there is no systemd to talk to: a new unit starts
# with the next boot.
serve() { # serve UNIT FILE
    [ -d "$units" ] || return 0
    unit=$1
    enabling "$unit"
    if [ ! -e "$2" ]; then
        ! known "$units/$unit" "$unit" || unserve "$unit"
    elif [ ! -e "$units/$unit" ] && [ ! -L "$units/$unit" ]; then
        place "$2" "$units/$unit" 644
        [ -n "$enables" ] || return 0
        mkdir -p "$enables"
        ln -sf "../$unit" "$enables/$unit"
        ask_systemd start
    elif ! cmp -s "$2" "$units/$unit" && known "$units/$unit" "$unit"; then
        place "$2" "$units/$unit" 644
        ask_systemd "${enables:+try-restart}"
    fi
}

# enabling sets the folder that enables a unit; a service that its timer starts has none.
enabling() { # enabling UNIT
    case $1 in
    *.timer) enables=$units/timers.target.wants ;;
    azure-vnet-metrics.service) enables= ;;
    *) enables=$units/multi-user.target.wants ;;
    esac
}

unserve() { # unserve UNIT
    unit=$1
    enabling "$unit"
    [ -z "$enables" ] || ask_systemd stop
    rm -f "$units/$unit"
    if [ -n "$enables" ]; then
        rm -f "$enables/$unit"
        rmdir "$enables" 2>/dev/null || :
    fi
    ask_systemd
}

ask_systemd() { # ask_systemd [COMMAND]
    [ -d /run/systemd/system ] && command -v systemctl >/dev/null || return 0
    { systemctl daemon-reload && { [ -z "${1:-}" ] || systemctl "$1" "$unit"; }; } ||
        say "note: systemd did not take $unit: systemctl status $unit"
}

# Another configuration of the plugins', which the runtime would use instead of ours or beside it.
others_configuration() {
    for f in "$conf"/*.conf "$conf"/*.conflist "$conf"/*.json; do
        [ "$f" != "$conf/$conflist" ] && grep -q '"azure-vnet"' "$f" 2>/dev/null && echo "$f" && return 0
    done
    return 0
}

# configure replaces the configuration if nobody has changed it; else the new one goes beside the one that is there. One of ours keeps
# its mode, unless another one is asked for.
configure() { # configure FOLDER
    there=$(known_mode "$conf/$conflist")
    if [ ! -e "$1/$conflist" ]; then # "before": its configuration is there yet, or there was none
        [ -z "$there" ] || rm -f "$conf/$conflist"
        rm -f "$conf/$conflist.new"
        return 0
    fi
    ours=$(shipped "$1" "${mode:-$there}")
    [ -n "$mode" ] || [ -e "$ours" ] || ours=$1/$conflist
    other=$(others_configuration)
    if [ -z "$other" ] && { [ ! -e "$conf/$conflist" ] || [ -n "$there" ]; }; then
        place "$ours" "$conf/$conflist" 644
        rm -f "$conf/$conflist.new"
    elif [ -e "$conf/$conflist" ] && cmp -s "$ours" "$conf/$conflist"; then
        rm -f "$conf/$conflist.new"
    else
        place "$ours" "$conf/$conflist.new" 644
        say "${other:-$conf/$conflist} is yours and stays; the one of this version is $conf/$conflist.new"
    fi
    first=$(for f in "$conf"/*.conf "$conf"/*.conflist "$conf"/*.json; do [ ! -e "$f" ] || echo "${f##*/}"; done | sort | head -n 1)
    if ! grep -q '"azure-vnet"' "$conf/$first"; then
        say "note: $conf/$first is the configuration that the runtime takes, since its name comes first"
    fi
}

# --- the commands ---

install_reference() {
    wanted=
    for p in $reference; do
        if [ -n "$cni_version" ] || [ ! -e "$bin/$p" ]; then wanted="$wanted $p"; fi
    done
    [ -n "$wanted" ] || return 0
    v=${cni_version:-$reference_version}
    if [ -n "$cni_version" ] && [ -e "$store/reference" ] && [ "$(cat "$store/reference")" = "$v" ]; then
        wanted=
        for p in $reference; do
            [ -e "$bin/$p" ] || wanted="$wanted $p"
        done
        [ -n "$wanted" ] || return 0
    fi
    archive=cni-plugins-linux-$arch-$v.tgz
    if [ -n "$from$key" ]; then at=$source; else at=$reference_releases/download/$v; fi
    published "$at" "$archive"
    fetch_verified "$at" "$archive"
    mkdir "$work/reference"
    tar -xzf "$work/$archive" -C "$work/reference" || die 1 "$archive cannot be unpacked" "make room in $store; nothing was installed"
    for p in $wanted; do
        [ -f "$work/reference/$p" ] || die 1 "$archive has no $p" "name another cniVersion; nothing was installed"
    done
}

place_reference() {
    for p in $wanted; do
        say "installing $bin/$p ($v)"
        # One that was there before stays when ours are removed, and one that somebody replaces after us.
        [ -e "$bin/$p" ] || sha256sum <"$work/reference/$p" | sed "s,-\$,$bin/$p," >>"$store/reference-sums"
        place "$work/reference/$p" "$bin/$p" 755
    done
    [ -z "$wanted" ] || echo "$v" >"$store/reference"
}

unpack() { # unpack ARCHIVE: into $work/new, complete or not at all
    mkdir "$work/new"
    tar -xzf "$work/$1" -C "$work/new" || die 1 "$1 cannot be unpacked" "make room in $store; nothing was installed"
    for f in $plugins $conflist; do
        [ -f "$work/new/$f" ] || die 1 "$1 has no $f" "take an archive of the release; nothing was installed"
    done
    [ -e "$(shipped "$work/new" "$mode")" ] || die 1 "$1 has no configuration for mode $mode" "take an archive of the release; nothing was installed"
    chmod 755 "$work/new/azure-vnet" "$work/new/azure-vnet-ipam"
    # The units run what is in the folder of the plugins.
    for u in $served; do
        if [ "$bin" = /opt/cni/bin ] || [ ! -f "$work/new/$u" ]; then continue; fi
        sed "s,/opt/cni/bin/,$bin/,g" "$work/new/$u" >"$work/unit"
        mv -f "$work/unit" "$work/new/$u"
    done
    echo "$sum" >"$work/new/.sha256"
}

install_plugins() {
    resolve
    archive=azure-vnet-cni-linux-$arch-$version.tgz
    published "$source" "$archive"
    read_state
    kept=$store/versions/$version
    fresh=
    if [ "$sum" != "$(cat "$kept/.sha256" 2>/dev/null || :)" ]; then
        fresh=yes
        fetch_verified "$source" "$archive"
        unpack "$archive"
    fi
    incoming=${fresh:+$work/new}
    examine "${incoming:-$kept}"
    check_configuration "${incoming:-$kept}"
    install_reference
    if [ -n "$dry_run" ]; then
        say "would install $version into $bin, and ${wanted:-no reference plugin}; now there is ${current:-nothing of ours}"
        [ -z "$fresh" ] || kept=$work/new
        [ -n "$no_setup" ] || node_files "$kept/azure-vnet" host prepare --dry-run ${node_root:+--root "$node_root"} --config "$(configured "$kept")"
        return 0
    fi
    folders
    mkdir -p "$store/versions"
    keep_before
    if [ -n "$fresh" ]; then
        rm -rf "$store/versions/replaced" # the same version, built anew: its files are known to be ours for a while yet
        [ ! -e "$kept" ] || mv "$kept" "$store/versions/replaced"
        mv "$work/new" "$kept"
    fi
    if [ "$current" != "$version" ]; then
        previous=$current current=$version
        write_state
    fi
    changed=
    place_reference
    activate "$version"
    forget_others
    [ -z "$changed" ] || outlast
    if [ -n "$changed" ]; then
        say "the configuration is ${other:-$conf/$conflist}; $bin/azure-vnet doctor says whether this node is ready for pods"
        say "installed $version${previous:+; --rollback goes back to $previous}"
    else
        say "$version is installed already"
    fi
}

# outlast waits for calls of the programs that have been replaced. What they are about is not taken over as long as they are under way.
outlast() {
    waited=0
    while left=$(replaced) && [ -n "$left" ]; do
        if [ "$waited" -ge 30 ]; then
            say "note: still under way with the program before:$left"
            return 0
        fi
        waited=$((waited + 1))
        sleep 1
    done
}

# replaced are the processes that run a file which is not in $bin any more, but for the service, which sees that by itself.
replaced() {
    # One process for all of them: a node may have a thousand.
    # shellcheck disable=SC2012 # whose names are numbers
    ls -l /proc/[0-9]*/exe 2>/dev/null | while read -r line; do
        case $line in
        *" -> $bin/azure-vnet (deleted)" | *" -> $bin/azure-vnet-ipam (deleted)")
            p=${line#* /proc/}
            p=${p%%/exe*}
            grep -q repair "/proc/$p/cmdline" 2>/dev/null || printf ' %s' "$p"
            ;;
        esac
    done
}

rollback() {
    read_state
    [ -n "$current" ] || die 1 "nothing was installed by $self" "give the version that you want: $self v2.0.0"
    [ -d "$store/versions/${previous:-none}" ] || die 1 "there is no version before $current" "give the version that you want: $self v2.0.0"
    if [ "$previous" = before ]; then
        # Another plugin knows neither our pods nor our rules. What the classic plugin left is its own as long as no command of ours
        # has rewritten it.
        attached=0
        state=$(data_dir)
        if touched; then
            attached=$("$store/versions/$current/azure-vnet" show -o json --data-dir "$state" | grep -c '"containerID"' || :)
        fi
        [ "$attached" -eq 0 ] || die 1 "$attached pods are connected by $current, which the plugins before it cannot serve" "drain the node and try again; it is cleaned up then"
    fi
    if [ -n "$dry_run" ]; then
        say "would go back from $current to $previous"
        return 0
    fi
    if [ "$previous" = before ] && touched; then hand_back; fi
    was=$current current=$previous previous=$was
    write_state
    [ "$current" != before ] || restore_node "$store/versions/$was/azure-vnet"
    activate "$current"
    say "went back from $was to $current; --rollback again returns to $was"
}

# touched says whether a command of ours has written its state.
touched() {
    for p in $plugins; do
        ! grep -q '"schema"' "$state/$p.json" "$state/$p.json.bak" 2>/dev/null || return 0
    done
    return 1
}

# hand_back cleans up for plugins that know neither our rules nor our state: their first ADD would take a bridge that they have not made
# with the host's network. What it cannot read it would fail on.
hand_back() {
    clean_up
    [ -z "$aside" ] || mv "$aside.uninstalling" "$aside"
    for p in $plugins; do
        rm -f "$state/$p.json" "$state/$p.json.bak" "$state/$p.json.lock"
    done
}

# The state's folder, if the configuration names another one than the plugins' own.
data_dir() {
    named=
    for f in "$conf"/*.conf "$conf"/*.conflist "$conf"/*.json; do
        [ -n "$named" ] || ! grep -q '"azure-vnet"' "$f" 2>/dev/null ||
            named=$(sed -n 's/.*"dataDir"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$f" | head -n 1)
    done
    echo "${named:-/var/run}"
}

uninstall() {
    read_state
    [ -n "$current" ] || die 1 "nothing was installed by $self" "what others have installed, they remove"
    if [ -n "$dry_run" ]; then
        say "would clean up the host, and remove $current from $bin and $conf"
        [ "$current" = before ] || restore_node "$store/versions/$current/azure-vnet" --dry-run
        return 0
    fi
    if [ "$current" != before ]; then
        state=$(data_dir)
        clean_up
        for p in $plugins; do
            rm -f "$state/$p.json" "$state/$p.json.bak" "$state/$p.lock" "/var/log/$p.log" "/var/log/$p.log".[0-9]*
        done
        rm -f "$state/azure-vnet-network.lock" "$state/azure-vnet-owners.lock" "$state/azure-vnet-ipam-refresh.lock"
        rm -f "$state/azure-vnet-metrics.json" "$state/azure-vnet-metrics.lock" "$textfile"
        restore_node "$store/versions/$current/azure-vnet"
    fi
    remove_files
    say "removed ${current}"
}

# clean_up takes pods and network away while the plugins are there yet. The configuration goes first, so that the runtime starts no pod
# any more; it comes back if the host cannot be cleaned up.
clean_up() {
    ours=$store/versions/$current
    aside=
    if [ -n "$(known_mode "$conf/$conflist")" ]; then
        aside=$conf/$conflist
        mv "$aside" "$aside.uninstalling"
    fi
    failed=
    why=$("$ours/azure-vnet" cleanup --yes --data-dir "$state" 2>&1) || failed=$why
    if [ -z "$failed" ]; then
        held=$("$ours/azure-vnet-ipam" show -o json --data-dir "$state" 2>&1) || failed=$held
    fi
    if [ -z "$failed" ] && echo "$held" | grep -q '"containerID"'; then
        failed="azure-vnet-ipam serves another network plugin: azure-vnet-ipam show"
    fi
    if [ -n "$failed" ]; then
        [ -z "$aside" ] || mv "$aside.uninstalling" "$aside"
        die 1 "the host could not be cleaned up, and nothing was removed: $failed" "azure-vnet doctor says what is wrong; containers of other network plugins have to go first"
    fi
    echo "$why" | sed "s/^/$self: /"
}

# remove_files removes what we installed and nobody changed, and puts back what was there before.
remove_files() {
    for u in azure-vnet-metrics.timer $served; do # the timer before what it starts
        ! known "$units/$u" "$u" || unserve "$u"
    done
    offer_completion ""
    for p in $plugins; do
        rm -f "$bin/.$p.installing"
        if [ -e "$store/versions/before/$p" ]; then
            ! known "$bin/$p" "$p" || place "$store/versions/before/$p" "$bin/$p" 755
        elif known "$bin/$p" "$p"; then
            rm -f "$bin/$p"
        fi
    done
    if [ -e "$store/reference-sums" ]; then
        while read -r s p; do
            [ "$s" != "$(sha256sum <"$p" | cut -c 1-64)" ] || rm -f "$p"
        done <"$store/reference-sums"
    fi
    rm -f "$conf/$conflist.uninstalling" "$conf/.$conflist.installing"
    for f in "$conf/$conflist" "$conf/$conflist.new"; do
        [ -z "$(known_mode "$f")" ] || rm -f "$f"
    done
    [ ! -e "$conf/$conflist" ] || say "$conf/$conflist is yours and stays"
    if [ -e "$store/created" ]; then
        sort -r "$store/created" | while read -r d; do rmdir "$d" 2>/dev/null || :; done
    fi
    rm -rf "$store"
}

# watch goes on until it is told to end. Each round is a run of its own, which says something only if it found something to do.
watch() {
    trap 'exit 0' TERM INT
    while :; do
        round=$(sh "$0" ${force:+--force} ${mode:+--mode "$mode"} ${no_setup:+--no-node-setup} \
            ${node_root:+--node-root "$node_root"} ${bin_dir:+--bin-dir "$bin_dir"} ${conf_dir:+--conf-dir "$conf_dir"} ${key:+--key "$key"} ${from:+--from "$from"} ${version:+"$version"} ${cni_version:+"$cni_version"} 2>&1) || die 1 "$round"
        case $round in
        *"is installed already") ;;
        *) echo "$round" ;;
        esac
        sleep "$interval" &
        wait $!
    done
}

command=install_plugins from='' version='' cni_version='' dry_run='' interval='' force='' mode='' no_setup='' node_root='' bin_dir='' conf_dir='' key=''
while [ $# -gt 0 ]; do
    case $1 in
    --from)
        [ -n "${2:-}" ] || misused "--from needs a file, a folder or a URL"
        from=$2
        shift
        ;;
    --from=*) from=${1#--from=} ;;
    --watch)
        interval=${2:-none}
        case $interval in
        *[!0-9]* | 0*) misused "--watch needs a number of seconds" ;;
        esac
        [ $# -lt 2 ] || shift
        ;;
    --rollback) command=rollback ;;
    --uninstall) command=uninstall ;;
    --dry-run) dry_run=yes ;;
    --force) force=yes ;;
    --no-node-setup) no_setup=yes ;;
    --key)
        key=${2:-}
        [ -f "$key" ] || misused "--key needs the file of a public key"
        shift
        ;;
    --bin-dir | --conf-dir | --node-root)
        case ${2:-none} in
        /*[!A-Za-z0-9._/-]* | [!/]* | */) misused "$1 needs a folder by its absolute path" ;;
        esac
        case $1 in
        --bin-dir) bin_dir=$2 ;;
        --conf-dir) conf_dir=$2 ;;
        *) node_root=$2 ;;
        esac
        shift
        ;;
    --mode)
        mode=${2:-none}
        case " $modes " in
        *" .$mode "*) ;;
        *) misused "--mode is transparent, bridge or tunnel" ;;
        esac
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*) misused "unknown option $1" ;;
    *)
        if [ -z "$version" ]; then version=$1; elif [ -z "$cni_version" ]; then cni_version=$1; else misused "too many arguments: $1"; fi
        ;;
    esac
    shift
done
[ "$command" = install_plugins ] || [ -z "$from$version$cni_version$interval$force$mode$no_setup$key" ] || misused "--$command takes no version"
[ -z "$interval" ] || [ -z "$dry_run" ] || misused "--watch changes what it finds, --dry-run nothing"

bin=${bin_dir:-$bin} conf=${conf_dir:-$conf}
known_folders
check_root
check_machine
[ -z "$interval" ] || watch
workplace
"$command"
