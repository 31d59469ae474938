package platform

// runningProgram names the file that was executed, even if another has taken its place since then.
func runningProgram() (string, error) { return "/proc/self/exe", nil }
