package platform

import (
	"os"
	"slices"
	"strings"
)

// INI are the settings of a file: its values by key, the last one last; sections do not matter here.
type INI map[string][]string

// ReadINI adds what a file sets.
func ReadINI(into INI, file string) INI {
	b, _ := os.ReadFile(file) // what cannot be read sets nothing
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") && !strings.HasPrefix(key, ";") {
			key = strings.TrimSpace(key)
			into[key] = append(into[key], strings.TrimSpace(value))
		}
	}
	return into
}

// On says whether a setting is true in the end (systemd.syntax(7)).
func (c INI) On(key string) bool {
	values := c[key]
	return len(values) > 0 && slices.Contains([]string{"yes", "true", "1", "on"}, strings.ToLower(values[len(values)-1]))
}
