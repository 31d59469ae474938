package platform

import (
	"fmt"
	"os"
	"strings"
)

// BootID returns what identifies the running boot of the machine: the random UUID that the kernel makes once per boot
// (random(4)). Containers see the host's.
func BootID() (string, error) {
	const path = "/proc/sys/kernel/random/boot_id"
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read boot identity: %w", err)
	}
	id := strings.TrimSpace(string(raw))
	if id == "" {
		return "", fmt.Errorf("read boot identity: %s is empty", path)
	}
	return id, nil
}
