package console

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Goes is Parse's word that the command goes on; every other one is an exit code.
const Goes = -1

// Exit codes of a command that Parse ends.
const (
	helped  = 0
	misused = 2
)

// Usage is a program's help text. Each command has a paragraph that begins with two spaces and the program's name, and
// whose further lines are indented deeper.
type Usage struct {
	Program, Text string
}

// Parse reads what stands behind a command: options anywhere, and at most so many other words, which it returns. If
// help was asked for, or something is wrong, it says so itself, and how it ends: 0 or 2.
func (u Usage) Parse(command string, flags *flag.FlagSet, args []string, most int,
	stdout, stderr io.Writer) (words []string, end int) {
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	for {
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			u.help(command, flags, stdout)
			return nil, helped
		}
		if err != nil {
			return nil, u.Misused(stderr, command, plainly(err))
		}
		left := flags.Args()
		if ended := len(left) < len(args) && args[len(args)-len(left)-1] == "--"; ended || len(left) == 0 {
			words = append(words, left...)
			break
		}
		words, args = append(words, left[0]), left[1:]
	}
	if len(words) > most {
		return nil, u.Misused(stderr, command, fmt.Sprintf("%q is one word too many", words[most]))
	}
	return words, Goes
}

// Misused says what is wrong with a command line, and returns the exit code for that.
func (u Usage) Misused(stderr io.Writer, command, what string) int {
	help := u.Program + " --help"
	if command != "" {
		what, help = command+": "+what, u.Program+" "+command+" --help"
	}
	_, _ = fmt.Fprintf(stderr, "%s: %s\nHow it is used: %s\n", u.Program, what, help)
	return misused
}

// plainly says what package flag found.
func plainly(err error) string {
	text := err.Error()
	dashes := func(option string) string {
		if len(option) > 1 {
			return "--" + option
		}
		return "-" + option
	}
	if option, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		return "there is no option " + dashes(option)
	}
	if option, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return "option " + dashes(option) + " needs a value"
	}
	return text
}

// Paragraph is the part of the help text that is about a command.
func (u Usage) Paragraph(command string) string {
	begin := regexp.MustCompile(`(?m)^  ` + regexp.QuoteMeta(u.Program+" "+command) + `(\s|$)`)
	at := begin.FindStringIndex(u.Text)
	if at == nil {
		return ""
	}
	lines := strings.SplitAfter(u.Text[at[0]:], "\n")
	end := 1
	for end < len(lines) && strings.HasPrefix(lines[end], "    ") {
		end++
	}
	return strings.Join(lines[:end], "")
}

func (u Usage) help(command string, flags *flag.FlagSet, w io.Writer) {
	_, _ = fmt.Fprintf(w, "Usage:\n%s\nOptions:\n", u.Paragraph(command))
	t := Table{Columns: []Column{{}, {}}, Bare: true}
	flags.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		name := "-" + f.Name
		if len(f.Name) > 1 {
			name = "-" + name
		}
		if value != "" {
			name += " " + value
		}
		t.Add("  "+name, text)
	})
	_ = t.Write(w, 0)
}
