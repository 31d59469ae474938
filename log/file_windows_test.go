package log

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestARecordIsWrittenThoughSomebodyHoldsTheLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.log")
	stopped, err := openAppend(path)
	if err != nil {
		t.Fatal(err)
	}
	defer stopped.Close()
	if err := lockByte(stopped, writeLock); err != nil {
		t.Fatal(err)
	}
	logger, closer, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	logger.Info("still here")
	if got := read(t, path); !strings.Contains(got, "still here") {
		t.Errorf("the log holds %q", got)
	}
}
