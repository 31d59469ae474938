package platform

import "golang.org/x/sys/unix"

// runningProgram names the file that was executed, even if another has taken its place since then.
func runningProgram() (string, error) { return "/proc/self/exe", nil }

// Executable says whether the file may be executed.
func Executable(path string) bool { return unix.Access(path, unix.X_OK) == nil }
