package ipam

import "golang.org/x/sys/unix"

// refreshLockFlags: a planted symbolic link is refused, not followed.
const refreshLockFlags = unix.O_CREAT | unix.O_RDWR | unix.O_NOFOLLOW | unix.O_CLOEXEC
