package docs

import (
	"path"
	"regexp"
	"strings"
)

// usage is what a program's own help text says that it takes. That the program takes just this, its own test proves.
type usage struct {
	program  string
	commands map[string]map[string]bool // options by command; true: with a value
	words    map[string]bool            // commands that take a word
}

var (
	usageLine   = regexp.MustCompile(`(?m)^  (azure-vnet\S*) (\S+(?: [a-z]+)*)( [A-Z|]+)?((?:\s+\[[^\]]+\])*)`)
	usageOption = regexp.MustCompile(`\[([^\s\]]+)( [^\]]+)?\]`)
	usageWord   = regexp.MustCompile(`^[A-Z|]+$`)
)

func parseUsage(text string) usage {
	u := usage{commands: map[string]map[string]bool{"--help": {}}, words: map[string]bool{}} // every program of package cni has it
	for _, m := range usageLine.FindAllStringSubmatch(text, -1) {
		u.program = m[1]
		options := map[string]bool{}
		u.words[m[2]] = m[3] != ""
		for _, o := range usageOption.FindAllStringSubmatch(m[4], -1) {
			if usageWord.MatchString(o[1]) {
				u.words[m[2]] = true
				continue
			}
			options[o[1]] = o[2] != ""
		}
		u.commands[m[2]] = options
	}
	return u
}

// wrong says what a command line has that the program does not.
func (u usage) wrong(words []string) string {
	command := words[0]
	options, ok := u.commands[command]
	if len(words) > 1 && !ok { // of two words
		command += " " + words[1]
		options, ok = u.commands[command]
		words = words[1:]
	}
	free := u.words[command]
	if !ok {
		return "it has no command " + words[0]
	}
	for i := 1; i < len(words); i++ {
		name, _, joined := strings.Cut(words[i], "=")
		withValue, ok := options[name]
		switch {
		case !ok && free && !strings.HasPrefix(name, "-"):
			free = false
		case !ok && name == "--help":
		case !ok:
			return words[0] + " does not take " + words[i]
		case withValue && !joined:
			if i++; i == len(words) {
				return name + " has no value"
			}
		}
	}
	return ""
}

var (
	shellOption      = regexp.MustCompile(`(?m)^\s+(?:-\w \| )?(--[a-z-]+)\)`)
	powerShellOption = regexp.MustCompile(`(?m)^\s+\[(?:string|switch)\]\$(\w+)`)
)

// options are those that a script's loop over its arguments, or its param block, knows.
func options(script string) map[string]bool {
	found := map[string]bool{}
	for _, m := range shellOption.FindAllStringSubmatch(script, -1) {
		found[m[1]] = true
	}
	for _, m := range powerShellOption.FindAllStringSubmatch(script, -1) {
		found["-"+m[1]] = true
	}
	return found
}

var phony = regexp.MustCompile(`(?m)^\.PHONY: (.*)$`)

func (r *repository) makeTargets() {
	for _, m := range phony.FindAllStringSubmatch(r.makefile, -1) {
		for name := range strings.FieldsSeq(m[1]) {
			r.targets[name] = true
		}
	}
}

var (
	manFlag    = regexp.MustCompile(`\bFl (-?[a-z-]+)`)
	manCommand = regexp.MustCompile(`(?m)^\.Cm (\w+(?: \w+)?)$`)
)

// wrongManOptions: a man page names the commands and options of its program, all of them and no others.
func (r *repository) wrongManOptions(name, text string) (lies []string) {
	u, ok := r.usage[strings.TrimSuffix(path.Base(name), path.Ext(name))]
	if !ok {
		return []string{"there is no such program"}
	}
	named, there := map[string]bool{}, map[string]bool{}
	for _, m := range manFlag.FindAllStringSubmatch(text, -1) {
		named["-"+m[1]] = true
	}
	commands, synopsis := map[string]bool{}, map[string]bool{}
	for command, options := range u.commands {
		if strings.HasPrefix(command, "-") {
			there[command] = true
		} else {
			commands[command] = true
		}
		for o := range options {
			there[o] = true
		}
	}
	_, text, _ = strings.Cut(text, "\n.Sh SYNOPSIS\n")
	text, _, _ = strings.Cut(text, "\n.Sh ")
	for _, m := range manCommand.FindAllStringSubmatch(text, -1) {
		synopsis[m[1]] = true
	}
	return append(difference("option", named, there, "the program does not have it", "is not in the man page"),
		difference("command", synopsis, commands, "the program does not have it", "is not in the man page")...)
}
