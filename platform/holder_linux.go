package platform

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Holder is the process that holds a lock.
type Holder struct {
	PID     int
	Command string // its command line, or its name
}

// LockHolder says who holds the lock (flock) on a file; nil if nobody does, or the file is not there. It does not touch
// the lock.
func LockHolder(path string) (*Holder, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("look at lock %s: %w", path, err)
	}
	dev := uint64(st.Dev) //nolint:unconvert // the type differs between architectures
	id := fmt.Sprintf("%02x:%02x:%d", unix.Major(dev), unix.Minor(dev), st.Ino)
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return nil, fmt.Errorf("list locks: %w", err)
	}
	defer func() { _ = locks.Close() }()
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// 1: FLOCK  ADVISORY  WRITE 4711 00:19:1234 0 EOF; who waits has "->" after the number (proc_locks(5))
		f := strings.Fields(lines.Text())
		if len(f) < 6 || f[1] != "FLOCK" || f[5] != id {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil {
			return &Holder{PID: pid, Command: commandOf(pid)}, nil
		}
	}
	return nil, nil
}

func commandOf(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended meanwhile
	if words := strings.Fields(strings.ReplaceAll(string(line), "\x00", " ")); len(words) > 0 {
		return strings.Join(words, " ")
	}
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return strings.TrimSpace(string(name))
}
