package main

import (
	"io"
	"regexp"
	"strings"
	"testing"
)

// The documents are compared with the usage text (test/docs), so that text has to be what is taken: each option by the
// commands that name it, and by no other one.
func TestUsageIsWhatIsTaken(t *testing.T) {
	t.Parallel()
	commands, options := map[string]string{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  azure-vnet ([a-z]+(?: [a-z]+)?)(( \[[^\]]+\])+)`).FindAllStringSubmatch(usage, -1) {
		commands[m[1]] = m[2]
		for _, o := range strings.Split(strings.Trim(m[2], " []"), "] [") {
			options[o] = true
		}
	}
	if len(commands) != 5 || len(options) != 9 {
		t.Fatalf("the usage text has %d commands and %d options: %v, %v", len(commands), len(options), commands, options)
	}
	for command, takes := range commands {
		for option := range options {
			_, err := parseOptions(append(strings.Fields(command), strings.Fields(option)...), io.Discard)
			if named := strings.Contains(takes, "["+option+"]"); named != (err == nil) {
				t.Errorf("azure-vnet %s %s: named %t, taken %t", command, option, named, err == nil)
			}
		}
	}
}
