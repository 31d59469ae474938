package store

// isClassic says whether the process is there. On Windows nobody replaces a program that runs, so no call of the
// classic plugin is under way.
func isClassic(string) bool { return false }
