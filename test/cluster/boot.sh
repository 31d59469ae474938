#!/bin/sh
# Starts the first process of a virtual machine: boot.sh NAME GROUP FOLDER USERLAND PROGRAMS FIRST. It is called in new namespaces for processes,
# mounts, the host's name and IPC, and in the VM's network namespace. Of the machine nothing can be written from in there but FOLDER and the
# VM's own cgroups.
#
#   GROUP     the name of the VM's cgroup
#   USERLAND  a Debian that others use, too, or several with a colon between them, of which the first one's files count. What is written
#             lies in FOLDER, and outlasts the VM
#   PROGRAMS  what the VM sees as /opt/cluster
#   FIRST     the program that becomes the VM's first process
set -eu
name=$1 group=$2 dir=$3 userland=$4 programs=$5 first=$6

# The hierarchies of version 1, each with a cgroup of the VM's, which is all that it sees of them.
hierarchies() {
    awk '$3 == "cgroup" { o = $4; sub(/^rw,(nosuid,|nodev,|noexec,|relatime,)*/, "", o); sub(/^xattr,/, "", o); print $2, o }' /proc/mounts
}
if [ "${7:-}" != inside ]; then
    hierarchies | grep -q . || { echo "this machine has no cgroups of version 1" >&2; exit 1; }
    while read -r at _; do
        mkdir -p "$at/$group"
        for f in cpuset.cpus cpuset.mems; do # a new cpuset has none, and takes no process
            [ ! -e "$at/$f" ] || cat "$at/$f" >"$at/$group/$f"
        done
        echo 0 >"$at/$group/cgroup.procs" # this shell, which is why it reads no pipe
    done <<END
$(hierarchies)
END
    # Whoever is not where it is to be would see, and change, the cgroups of the whole machine.
    if grep '^[1-9]' /proc/self/cgroup | grep -v "/$group\$"; then
        echo "these cgroups are not the VM's own" >&2
        exit 1
    fi
    exec unshare --cgroup -- "$0" "$@" inside
fi

mount --make-rprivate /
at=$(hierarchies)
mount -t overlay -o "lowerdir=$userland,upperdir=$dir/upper,workdir=$dir/work" overlay "$dir/root"
cd "$dir/root"

# Of the kernel's settings only those of the VM's network can be written. What a kubelet sets it finds as it wants it.
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mkdir -p mnt/proc mnt/sys
mount -t proc proc mnt/proc
mount --bind mnt/proc/sys/net proc/sys/net
umount mnt/proc
mount -t tmpfs sys mnt/sys
boot=$(cat proc/sys/kernel/random/uuid) # of this VM, another one each time
for setting in "kernel/random/boot_id=$boot" vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=${setting%=*}
    mkdir -p "mnt/sys/${file%/*}"
    echo "${setting#*=}" >"mnt/sys/$file"
    mount --bind "mnt/sys/$file" "proc/sys/$file"
done
umount -l mnt/sys

mount -t sysfs sys sys
mount -t tmpfs cgroup sys/fs/cgroup
echo "$at" | while read -r path options; do
    mkdir "sys/fs/cgroup/${path##*/}"
    mount -t cgroup -o "$options" cgroup "sys/fs/cgroup/${path##*/}"
done
mount -o remount,bind,ro sys

mount -t tmpfs -o mode=755 dev dev
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
: >dev/kmsg
mount --bind /dev/null dev/kmsg # the kubelet reads who was killed for want of memory
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mkdir -p opt/cluster var/lib/containerd var/lib/kubelet var/lib/etcd var/log
mount --bind "$programs" opt/cluster
mount -o remount,bind,ro opt/cluster
for d in containerd kubelet etcd; do # an overlay is no file system to lay overlays on
    mkdir -p "$dir/$d"
    mount --bind "$dir/$d" "var/lib/$d"
done

hostname "$name"
echo "$name" >etc/hostname
printf '127.0.0.1 localhost\n::1 localhost\n' >etc/hosts
rm -f etc/resolv.conf
echo 'nameserver 168.63.129.16' >etc/resolv.conf
pivot_root . mnt
umount -l /mnt
mount --make-rshared /
echo ready
exec "$first"
