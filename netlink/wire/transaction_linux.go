package wire

import (
	"encoding/binary"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Transact has a subsystem of netfilter (NFNL_SUBSYS_…) do all that the requests say, or nothing of it.
// Error: that of the first request that fails, as an errno.
func (s *Socket) Transact(subsystem byte, requests ...[]byte) error {
	if len(requests) == 0 {
		return nil
	}
	// The kernel answers a request that fails, and one that wants to know; what fails as a whole it says of the limits.
	limit := []byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, subsystem}
	begin, end := Request(unix.NFNL_MSG_BATCH_BEGIN, 0, limit), Request(unix.NFNL_MSG_BATCH_END, 0, limit)
	last := requests[len(requests)-1]
	binary.NativeEndian.PutUint16(last[6:], binary.NativeEndian.Uint16(last[6:])|unix.NLM_F_ACK)
	all := slices.Concat([][]byte{begin}, requests, [][]byte{end})
	if err := s.Send(slices.Concat(all...)); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	whole := buffers.Get().(*[bufferSize]byte) //nolint:errcheck // it has nothing else
	defer buffers.Put(whole)
	var failed error
	for {
		n, err := s.receive(whole[:])
		if err != nil {
			return err
		}
		messages, err := s.parse(whole[:n])
		if err != nil {
			return err
		}
		for _, m := range messages {
			of := slices.IndexFunc(all, func(r []byte) bool { return sequenceOf(r) == m.Header.Seq })
			if of < 0 || m.Header.Type != unix.NLMSG_ERROR {
				continue // left over from a request that was given up
			}
			if failed == nil {
				failed = Errno(m.Data)
			}
			if of == 0 || of == len(requests) {
				return failed
			}
		}
	}
}

func sequenceOf(request []byte) uint32 { return binary.NativeEndian.Uint32(request[8:]) }
