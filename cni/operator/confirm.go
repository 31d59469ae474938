package operator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// errUnchanged: the person did not want it.
var errUnchanged = errors.New("nothing was changed")

// confirm asks whether to go on, unless that was said already (--yes). Who ends the command instead of answering
// (Ctrl-C) says no. Error: errUnchanged.
func confirm(ctx context.Context, o options, stdin io.Reader, stdout io.Writer) error {
	if o.yes {
		return nil
	}
	_, _ = fmt.Fprint(stdout, "Go on? [y/N] ")
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(stdin).ReadString('\n') // none is no
		answer <- strings.TrimSpace(line)
	}()
	select {
	case a := <-answer:
		if a = strings.ToLower(a); a == "y" || a == "yes" {
			return nil
		}
	case <-ctx.Done():
	}
	_, _ = fmt.Fprintln(stdout) // nobody may have ended the line of the question
	return errUnchanged
}
