package operator

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"
)

// tool is a program of the host, and the file that has what it says.
type tool struct {
	file    string
	command []string
}

// toolTime is how long one may take.
const toolTime = 10 * time.Second

// output is what a program says. It is for a bundle only, which shows what everybody's own tools show and what a person
// who reads it knows how to read; nothing that is done for a pod starts a program. It gets nothing of our environment,
// which may have secrets.
func output(ctx context.Context, command ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, toolTime)
	defer cancel()
	said := &bytes.Buffer{}
	//nolint:forbidigo // a report has the words of the host's own tools
	cmd := exec.CommandContext(ctx, find(command[0]), command[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = toolEnv(), said, said, time.Second
	if err := cmd.Run(); err != nil {
		return said.Bytes(), fmt.Errorf("%q: %w", command, err)
	}
	return said.Bytes(), nil
}
