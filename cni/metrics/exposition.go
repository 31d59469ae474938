package metrics

import (
	"fmt"
	"strconv"
	"strings"
)

// exposition is a text in Prometheus' format (https://prometheus.io/docs/instrumenting/exposition_formats, Text-based
// format).
type exposition struct{ strings.Builder }

// family begins the samples of one name.
func (e *exposition) family(name, kind, help string) {
	_, _ = fmt.Fprintf(e, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample adds one; labels are names and values by turns.
func (e *exposition) sample(name string, value float64, labels ...string) {
	e.WriteString(name)
	for i := 0; i < len(labels); i += 2 {
		e.WriteByte("{,"[min(i, 1)])
		_, _ = fmt.Fprintf(e, `%s="%s"`, labels[i], escape.Replace(strings.ToValidUTF8(labels[i+1], "\ufffd")))
	}
	if len(labels) > 0 {
		e.WriteByte('}')
	}
	_, _ = fmt.Fprintf(e, " %s\n", strconv.FormatFloat(value, 'f', -1, 64))
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
