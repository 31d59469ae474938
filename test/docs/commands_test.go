package docs

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// wrongCommands: what a reader would type, in blocks and in running text.
func (r *repository) wrongCommands(d *document) (lies []string) {
	for _, f := range d.fences {
		if !slices.Contains([]string{"bash", "sh", "console", "PowerShell"}, f.info) {
			continue
		}
		text := strings.ReplaceAll(f.text, "\\\n", " ")
		for i, line := range strings.Split(text, "\n") {
			lies = append(lies, r.wrongLine(f.line+1+i, line)...)
		}
	}
	for _, s := range d.spans {
		lies = append(lies, r.wrongLine(s.line, s.text)...)
	}
	return lies
}

var (
	comment    = regexp.MustCompile(`(^|\s)#.*$`)
	separator  = regexp.MustCompile(`\s*(?:\|\||&&|\||;|\$\()\s*`)
	word       = regexp.MustCompile(`(?:[^\s'"]|'[^']*'|"[^"]*")+`)
	assignment = regexp.MustCompile(`^[A-Za-z_]+=`)
)

func (r *repository) wrongLine(number int, line string) (lies []string) {
	line = comment.ReplaceAllString(line, "")
	for _, part := range separator.Split(strings.NewReplacer("[", " ", "]", " ").Replace(line), -1) {
		words := word.FindAllString(part, -1)
		for len(words) > 0 && (slices.Contains([]string{"sudo", "$", "PS>", "env", "do", "then", "watch"}, words[0]) ||
			assignment.MatchString(words[0])) {
			words = words[1:]
		}
		if i := slices.IndexFunc(words, func(w string) bool {
			return strings.HasPrefix(w, ">") || strings.HasPrefix(w, "<") || strings.HasPrefix(w, "2>")
		}); i >= 0 {
			words = words[:i]
		}
		// An installer may be called by ssh, too.
		if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(base(w), "install-cni-plugin.") }); i > 0 &&
			slices.Contains([]string{"ssh", "sh"}, words[0]) {
			words = words[i:]
		}
		if len(words) < 2 {
			continue // a name
		}
		if wrong := r.wrongCall(base(words[0]), words[1:]); wrong != "" {
			lies = append(lies, fmt.Sprintf("line %d: %s: %s", number, strings.Join(words, " "), wrong))
		}
	}
	return lies
}

func base(word string) string { return path.Base(strings.ReplaceAll(word, `\`, "/")) }

func (r *repository) wrongCall(program string, args []string) string {
	if u, ok := r.usage[program]; ok {
		return u.wrong(args)
	}
	if options, ok := r.scripts[program]; ok && strings.HasPrefix(program, "install-cni-plugin.") {
		for _, a := range args {
			if name, _, _ := strings.Cut(a, "="); strings.HasPrefix(a, "-") && !options[name] {
				return "it does not take " + a
			}
		}
	}
	switch program {
	case "make":
		return r.wrongMake(args)
	case "go":
		return r.wrongGo(args)
	}
	return ""
}

func (r *repository) wrongMake(args []string) string {
	for _, a := range args {
		name, value, set := strings.Cut(a, "=")
		value = strings.Trim(value, `'"`)
		switch {
		case strings.HasPrefix(a, "-"):
		case set && !strings.Contains(r.makefile, "$("+name+")"):
			return "the Makefile does not use " + name
		case set && name == "BENCH":
			if why := r.wrongTest(value, "Benchmark"); why != "" {
				return why
			}
		case set && name == "TESTFLAGS":
			if why := r.wrongGo(append([]string{"test"}, strings.Fields(value)...)); why != "" {
				return why
			}
		case !set && !r.targets[a]:
			return "there is no target " + a
		}
	}
	return ""
}

// wrongGo looks at the packages and the tests that are named.
func (r *repository) wrongGo(args []string) string {
	for i, a := range args {
		if strings.HasPrefix(a, "./") {
			if dir := path.Clean(strings.TrimSuffix(a, "...")); !r.files[dir] && dir != "." {
				return "there is no folder " + dir
			}
		}
		if i+1 < len(args) {
			value := strings.Trim(args[i+1], `'"`)
			switch a {
			case "-run":
				return r.wrongTest(value, "Test")
			case "-fuzz":
				return r.wrongTest(value, "Fuzz")
			case "-bench":
				return r.wrongTest(value, "Benchmark")
			}
		}
	}
	return ""
}

// wrongTest: a pattern that finds nothing. "X" stands for any.
func (r *repository) wrongTest(pattern, kind string) string {
	if pattern == "X" || pattern == "^$" {
		return ""
	}
	first, _, _ := strings.Cut(pattern, "/")
	expr, err := regexp.Compile(first)
	if err != nil {
		return err.Error()
	}
	for name := range r.tests {
		if strings.HasPrefix(name, kind) && expr.MatchString(name) {
			return ""
		}
	}
	return fmt.Sprintf("no %s has a name like %s", kind, pattern)
}
