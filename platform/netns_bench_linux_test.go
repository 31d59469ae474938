package platform

import (
	"os/exec"
	"testing"
)

// A node with 1,000 processes, in one of which a namespace may still be held.
func BenchmarkGoneNamespaces(b *testing.B) {
	for range 1000 {
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	const nobodys = 1
	for b.Loop() {
		if gone, err := GoneNamespaces([]uint64{nobodys}); err != nil || !gone[nobodys] {
			b.Fatal(gone, err)
		}
	}
}
