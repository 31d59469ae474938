package operator

import (
	"testing"
	"time"
)

// TestPace: who changes things is waited for until he is done, but not for ever; and a quarrel with another program is
// kept within bounds.
func TestPace(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	at := start.Add
	p := &pace{}
	p.looked(start, time.Millisecond, false)
	for _, c := range []struct{ first, now, want time.Duration }{
		{time.Minute, time.Minute, time.Minute + settle},                                             // alone
		{time.Minute, time.Minute + 90*time.Millisecond, time.Minute + 90*time.Millisecond + settle}, // others follow
		{time.Minute, time.Minute + 490*time.Millisecond, time.Minute + patient},                     // and do not end
		{time.Millisecond, time.Millisecond, often},                                                  // just after a look
	} {
		if got := p.next(at(c.first), at(c.now)); !got.Equal(at(c.want)) {
			t.Errorf("after changes from %v to %v it looks at %v, not %v", c.first, c.now, got.Sub(start), c.want)
		}
	}
	// Somebody undoes each repair at once, for two minutes; then he ends.
	var looks []time.Duration
	quarrels := 0
	for now := time.Duration(0); now < 2*time.Minute; now = p.next(at(now), at(now)).Sub(start) {
		looks = append(looks, now)
		if p.looked(at(now), time.Millisecond, true) {
			quarrels++
		}
	}
	if quarrels != 1 || len(looks) > 25 || looks[quarrel-1] > 5*time.Second {
		t.Errorf("%d quarrels, %d looks in two minutes: %v", quarrels, len(looks), looks)
	}
	if got := p.looked(at(10*time.Minute), 40*time.Millisecond, false); got || p.quarrel {
		t.Error("a quarrel does not end")
	}
	if got := p.next(at(10*time.Minute), at(10*time.Minute)); !got.Equal(at(10*time.Minute + 2*time.Second)) {
		t.Errorf("after a look of 40 ms the next is %v later", got.Sub(at(10*time.Minute)))
	}
}
