package platform

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// BootID returns what identifies the running boot of the machine: the random UUID that the kernel makes once per boot
// (random(4)). Containers see the host's. Both plugins of a process ask, and no process outlives its boot: it is read
// once.
var BootID = sync.OnceValues(func() (string, error) {
	const path = "/proc/sys/kernel/random/boot_id"
	raw, err := head(path, 64)
	if err != nil {
		return "", fmt.Errorf("read boot identity: %w", err)
	}
	id := strings.TrimSpace(string(raw))
	if id == "" {
		return "", fmt.Errorf("read boot identity: %s is empty", path)
	}
	return id, nil
})

// SinceBoot is how long the machine runs; 0 if it does not tell.
func SinceBoot() time.Duration {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return time.Duration(info.Uptime) * time.Second
}
