package platform

import "fmt"

// HolderOf names the process that holds a lock, for messages: "process 4711 (sleep)"; "" if nobody does, or nobody can
// tell.
func HolderOf(path string) string {
	h, err := LockHolder(path)
	if err != nil || h == nil {
		return ""
	}
	if h.Command == "" {
		return fmt.Sprintf("process %d, which has ended: a child of it has the lock", h.PID)
	}
	return fmt.Sprintf("process %d (%s)", h.PID, h.Command)
}
