package platform

import (
	"testing"
	"time"
)

func TestBootIDIsATimeOfThePast(t *testing.T) {
	t.Parallel()
	id, err := BootID()
	if err != nil {
		t.Fatal(err)
	}
	boot, err := time.Parse("20060102T150405.0000000Z", id)
	if err != nil {
		t.Fatal(err)
	}
	if age := time.Since(boot); age <= 0 || age > 100*365*24*time.Hour {
		t.Errorf("booted %s, %s ago", boot, age)
	}
}
