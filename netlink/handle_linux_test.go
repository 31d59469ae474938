package netlink

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/netlink/hostconf"
	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/test/lab"
	"golang.org/x/sys/unix"
)

// Linux before 4.20 lists the addresses and neighbours of all interfaces, whichever was asked for.
func TestAnOlderKernelListsAllAndGetsTheSameAnswers(t *testing.T) {
	h := newHost(t)
	b := h.ensureBridge()
	h.IP("link add other type veth peer name other-peer")
	h.IP("link set other up")
	h.IP("address add 192.0.2.7/24 dev other")
	h.IP("neigh add 192.0.2.8 lladdr 02:00:00:00:00:08 nud permanent dev other")
	h.IP("neigh add proxy 192.0.2.9 dev other")
	h.IP("neigh add 10.240.0.99 lladdr 02:00:00:00:00:63 nud permanent dev azure0")
	h.IP("neigh add proxy 10.240.0.98 dev azure0")
	type answers struct {
		addrs    []netip.Prefix
		neighs   int
		snapshot []byte
	}
	ask := func(strict int) (a answers) {
		h.kernel(func(nl *Handle) {
			h.Must(unix.SetsockoptInt(nl.socket.FD(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, strict))
			var err error
			a.addrs, err = nl.Addresses(b.Link)
			h.Must(err)
			list, err := nl.permanentNeighbours(b.Link)
			h.Must(err)
			a.neighs = len(list)
			a.snapshot, err = nl.Snapshot(b, nil)
			h.Must(err)
		})
		return a
	}
	now, older := ask(1), ask(0)
	if !slices.Equal(now.addrs, []netip.Prefix{lab.Prefix}) || now.neighs != 1 {
		t.Errorf("addresses %v, %d neighbours", now.addrs, now.neighs)
	}
	if !reflect.DeepEqual(now, older) {
		t.Errorf("with filters of the kernel's %+v, without %+v", now, older)
	}
	if c := hostconf.Decode(now.snapshot); len(c.Neighs) != 2 {
		t.Errorf("the snapshot has %d neighbours and proxies instead of 2", len(c.Neighs))
	}
}

// An interface that goes between two questions has nothing: it is no error.
func TestAnInterfaceThatIsGoneHasNoAddresses(t *testing.T) {
	h := newHost(t)
	h.kernel(func(nl *Handle) {
		addrs, err := nl.Addresses(Link{Index: 4711, Name: "gone"})
		if err != nil || len(addrs) > 0 {
			t.Errorf("%v, %v", addrs, err)
		}
	})
}

// A batch of many short messages leaves room for one of fewer and longer ones.
func TestABatchLeavesTheSocketItsRoom(t *testing.T) {
	h := newHost(t)
	h.kernel(func(nl *Handle) {
		for _, batch := range []struct{ steps, length int }{{101, 1}, {100, 400}} {
			b := &rtnl.Batch{}
			for range batch.steps {
				b.Add("rename nothing", rtnl.LinkMessage(unix.RTM_NEWLINK, 0, 1<<30, false,
					rtnl.Text(unix.IFLA_IFALIAS, strings.Repeat("a", batch.length))), unix.ENODEV, unix.EINVAL, unix.ERANGE)
			}
			h.Must(b.Send(nl.socket))
		}
	})
}
