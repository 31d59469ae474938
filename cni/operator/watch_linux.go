package operator

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/Azure/azure-container-networking/network/linux"
	"golang.org/x/sys/unix"
)

// When a watch looks at the host.
const (
	settle  = 100 * time.Millisecond // after a change: whoever made it may be about to make others,
	patient = 500 * time.Millisecond // but not for ever
	often   = 500 * time.Millisecond // between two looks at the least
	always  = time.Minute            // at the latest: not everything is told
	limit   = 30 * time.Second       // for one look
	quarrel = 6                      // repairs within a minute are one with another program,
	memory  = time.Minute
	giveWay = 10 * time.Second // which then gets this long between two looks
	share   = 50               // of the time, in parts, may pass with looking, where something changes all the time
)

// watch repairs, and again whenever something of the host changes, until ctx ends, or another azure-vnet is installed:
// whoever supervises it starts that one. Neither is an error.
func watch(ctx context.Context, o options, stdout io.Writer) error {
	debug.SetGCPercent(100) // unlike a command it stays
	changes, err := linux.Watch(ctx, name)
	if err != nil {
		return err
	}
	current, err := installed()
	if err != nil {
		return err
	}
	p := &pace{}
	said := ""
	for ctx.Err() == nil && current() {
		look, cancel := context.WithTimeout(ctx, limit)
		before := used()
		done, err := repairOnce(look, o, stdout)
		cancel()
		if now := fmt.Sprint(err); err != nil && now != said && ctx.Err() == nil {
			o.logger.Error(now)
		}
		if said = ""; err != nil {
			said = fmt.Sprint(err)
		}
		if p.looked(time.Now(), used()-before, len(done.Right) > 0) {
			o.logger.Warn("somebody changes again and again what is put right here; the next looks come less often",
				"nftables was changed by", p.who(), "last repair", done.Right)
		}
		p.wait(ctx, changes, done.Busy > 0)
	}
	return nil
}

// installed gives a function that says whether the program is yet the one that is installed.
func installed() (func() bool, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	running, err := os.Stat("/proc/self/exe")
	return func() bool {
		now, serr := os.Stat(path)
		return serr == nil && os.SameFile(running, now)
	}, err
}

// used is what of a processor this process has had.
func used() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u) // fails for a bad address only
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// pace says when to look. It keeps a quarrel with another program within bounds.
type pace struct {
	last    time.Time // look
	rest    time.Duration
	repairs []time.Time // of the last minute
	quarrel bool
	others  string // who changed nftables last
}

func (p *pace) who() string {
	return cmp.Or(p.others, "nobody; look at who manages addresses and links")
}

// looked notes a look, which took so much of a processor, and says whether with it a quarrel has begun.
func (p *pace) looked(now time.Time, took time.Duration, repaired bool) bool {
	p.last, p.rest = now, often
	if !repaired { // whoever has done harm may do more; a quarrel bounds that
		p.rest = min(max(often, share*took), giveWay)
	}
	p.repairs = slices.DeleteFunc(p.repairs, func(t time.Time) bool { return now.Sub(t) > memory })
	if repaired {
		p.repairs = append(p.repairs, now)
	}
	before := p.quarrel
	p.quarrel = len(p.repairs) >= quarrel || p.quarrel && len(p.repairs) > 1
	return p.quarrel && !before
}

// next is when to look after a change, the first of which was at first.
func (p *pace) next(first, now time.Time) time.Time {
	least := p.rest
	if p.quarrel {
		least = giveWay
	}
	at := now.Add(settle)
	if last := first.Add(patient); at.After(last) {
		at = last
	}
	if rested := p.last.Add(least); at.Before(rested) {
		at = rested
	}
	return at
}

// wait returns when it is time to look again.
func (p *pace) wait(ctx context.Context, changes <-chan string, soon bool) {
	timer := time.NewTimer(always)
	defer timer.Stop()
	if soon {
		timer.Reset(often)
	}
	var first time.Time
	for {
		select {
		case who := <-changes:
			p.others = cmp.Or(who, p.others)
			now := time.Now()
			if first.IsZero() {
				first = now
			}
			timer.Reset(p.next(first, now).Sub(now))
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
