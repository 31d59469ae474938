package operator

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestAQuestionIsAnswered(t *testing.T) {
	t.Parallel()
	for answer, yes := range map[string]bool{"y\n": true, "Y\n": true, "yes\n": true, "YES\n": true, "n\n": false, "\n": false, "": false,
		"yea\n": false, "y": true} {
		var said strings.Builder
		err := confirm(t.Context(), options{}, strings.NewReader(answer), &said)
		if (err == nil) != yes || !yes && (!errors.Is(err, errUnchanged) || !strings.HasSuffix(said.String(), "[y/N] \n")) {
			t.Errorf("%q: %v, said %q", answer, err, said.String())
		}
	}
}

// Ctrl-C at the question is a no, also while nobody types.
func TestCtrlCAtTheQuestionIsNo(t *testing.T) {
	t.Parallel()
	silent, keyboard := io.Pipe()
	defer keyboard.Close()
	ctx, ctrlC := context.WithCancel(t.Context())
	ctrlC()
	if err := confirm(ctx, options{}, silent, io.Discard); !errors.Is(err, errUnchanged) {
		t.Errorf("error %v", err)
	}
}
