package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestClaimsWaitForEachOther(t *testing.T) {
	claims := Claims{Path: filepath.Join(t.TempDir(), "claims.lock")}
	take := func(things ...string) *Claim {
		t.Helper()
		c, err := claims.Take(t.Context(), things...)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	// refused is whether a claim has to wait: it is given up at once, but goes on waiting in the kernel's queue. waiting
	// are those that do so already.
	refused := func(waiting int, things ...string) bool {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan *Claim, 1)
		go func() {
			c, err := claims.Take(ctx, things...)
			if err != nil && !errors.Is(err, ErrLocked) {
				t.Error(err)
			}
			got <- c
		}()
		// Whoever is in the way has to go first; then this one comes, too.
		select {
		case c := <-got:
			cancel()
			c.Release()
			return false
		case <-waits(t, claims.Path, waiting+1):
			cancel()
			if c := <-got; c != nil {
				t.Errorf("a claim was taken after all")
				c.Release()
			}
			return true
		}
	}
	a, b := take("a"), take("b", "c")
	if refused(0, "d") || refused(0, "d", "e", "d") {
		t.Error("what nobody has is refused")
	}
	if !refused(0, "a") || !refused(1, "d", "c") {
		t.Error("what somebody has is not refused")
	}
	a.Release()
	take("a").Release() // as soon as the one that was given up has had it
	done := make(chan *Claim)
	go func() {
		c, err := claims.TakeAll(t.Context())
		if err != nil {
			t.Error(err)
		}
		done <- c
	}()
	<-waits(t, claims.Path, 2)
	b.Release()
	everything := <-done
	<-waits(t, claims.Path, 0)
	if !refused(0, "d") {
		t.Error("beside somebody who has everything a claim is not refused")
	}
	everything.Release()
	take("a", "b", "c").Release()
	if c, err := (Claims{}).Take(t.Context(), "a"); c != nil || err != nil {
		t.Errorf("without a path: %v, %v", c, err)
	}
	(*Claim)(nil).Release()
	if _, err := (Claims{Path: filepath.Join(t.TempDir(), "missing", "x.lock")}).Take(t.Context(), "a"); !errors.Is(err, ErrWrite) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}
