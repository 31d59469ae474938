package ipam

import (
	"bytes"
	"fmt"
	"net/netip"
)

// addrQueue is a list of addresses in an order that matters. In the file it is one string of runs,
// "10.240.0.5-10.240.0.9 10.240.0.3": after a while a pool's free addresses are all in it, and ten thousand JSON
// strings would make each ADD slow.
type addrQueue []netip.Addr

// MarshalText writes runs of consecutive addresses as ranges.
func (q addrQueue) MarshalText() ([]byte, error) {
	var b []byte
	for i := 0; i < len(q); {
		run := i
		for run+1 < len(q) && q[run].Next() == q[run+1] {
			run++
		}
		if i > 0 {
			b = append(b, ' ')
		}
		b = q[i].AppendTo(b)
		if run > i {
			b = q[run].AppendTo(append(b, '-'))
		}
		i = run + 1
	}
	return b, nil
}

// UnmarshalText reads what MarshalText wrote.
func (q *addrQueue) UnmarshalText(b []byte) error {
	*q = nil
	for text := range bytes.FieldsSeq(b) {
		var r addrRange
		if err := r.UnmarshalText(text); err != nil {
			return err
		}
		for a := range (addrSet{r}).all {
			*q = append(*q, a)
		}
		if len(*q) > maxCount {
			return fmt.Errorf("more than %d addresses wait to be given again", maxCount)
		}
	}
	return nil
}
