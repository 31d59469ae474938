package operator

import (
	"regexp"
	"sync"
)

// lazily compiles a pattern when it is needed: the program is mostly executed as a plugin, which needs none of them,
// and all together take a tenth of its start.
func lazily(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}
