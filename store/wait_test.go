package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// Who gave up waiting does not get the lock later and keep it: the next one does.
func TestAnAbandonedWaitDoesNotKeepTheLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.lock")
	holder, impatient, patient := flock.New(path), flock.New(path), flock.New(path)
	if err := Wait(t.Context(), holder); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() { gaveUp <- Wait(ctx, impatient) }()
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up got %v", err)
	}
	got := make(chan error, 1)
	go func() { got <- Wait(t.Context(), patient) }()
	select {
	case err := <-got:
		t.Fatalf("two have the lock: %v", err)
	default:
	}
	release(holder)
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the lock does not become free")
	}
	release(patient)
}

func TestAWaitThatBeginsTooLateAsksForNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	lock := flock.New(filepath.Join(t.TempDir(), "x.lock"))
	if err := Wait(ctx, lock); !errors.Is(err, context.Canceled) || lock.Locked() {
		t.Errorf("%v, locked: %t", err, lock.Locked())
	}
}
