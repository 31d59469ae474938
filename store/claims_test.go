package store

import (
	"path/filepath"
	"testing"
)

func TestClaimsComeAndGo(t *testing.T) {
	claims := Claims{Path: filepath.Join(t.TempDir(), "claims.lock")}
	for range 3 {
		one, err := claims.Take(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		other, err := claims.Take(t.Context(), "b", "c", "b")
		if err != nil {
			t.Fatal(err)
		}
		one.Release()
		other.Release()
		everything, err := claims.TakeAll(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		everything.Release()
	}
}
