package platform

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inNewNetns runs fn on a thread of its own, in a network namespace of its own. Both end with fn: the goroutine stays
// locked, so the runtime ends the thread with it.
func inNewNetns(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			t.Errorf("unshare: %v", err)
			return
		}
		fn(t)
	}()
	<-done
}

func addLink(t *testing.T, l netlink.Link) {
	t.Helper()
	if err := netlink.LinkAdd(l); err != nil {
		t.Errorf("add %s %s: %v", l.Type(), l.Attrs().Name, err)
		runtime.Goexit()
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
		runtime.Goexit()
	}
}

func attrs(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}

// sameByName requires that each interface is by its name what it is among all, and that others are not there.
func sameByName(t *testing.T, others ...string) {
	t.Helper()
	all, err := Host{}.Interfaces()
	check(t, err)
	for _, want := range all {
		want.Prefixes = nil
		got, ok, err := Host{}.InterfaceByName(want.Name)
		check(t, err)
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" || !ok {
			t.Errorf("%s by its name (-want +got): %v\n%s", want.Name, ok, d)
		}
	}
	for _, name := range others {
		if i, ok, _ := (Host{}).InterfaceByName(name); ok {
			t.Errorf("%q is %+v", name, i)
		}
	}
}

func TestInterfacesShowsKindsMastersAndSlaves(t *testing.T) {
	t.Parallel()
	inNewNetns(t, func(t *testing.T) {
		mac := net.HardwareAddr{0x02, 0, 0, 0, 0, 1}
		bridge := &netlink.Bridge{LinkAttrs: attrs("br0")}
		bridge.HardwareAddr = mac
		addLink(t, bridge)
		check(t, netlink.LinkSetMTU(bridge, 1400))
		addLink(t, &netlink.Veth{LinkAttrs: attrs("veth0"), PeerName: "veth1"})
		veth0, err := netlink.LinkByName("veth0")
		check(t, err)
		check(t, netlink.LinkSetMaster(veth0, bridge))
		check(t, netlink.LinkSetAlias(veth0, "azure cbr0 4f5e eth0"))
		addLink(t, &netlink.Macvlan{LinkAttrs: func() netlink.LinkAttrs {
			a := attrs("mv0")
			a.ParentIndex = bridge.Index
			return a
		}()})
		check(t, netlink.LinkSetUp(bridge))
		for _, cidr := range []string{"10.240.0.4/16", "10.240.0.5/16", "fd00::4/64"} {
			addr, err := netlink.ParseAddr(cidr)
			check(t, err)
			addr.Flags |= unix.IFA_F_NODAD
			check(t, netlink.AddrAdd(bridge, addr))
		}

		got, err := Host{}.Interfaces()
		check(t, err)
		index := map[string]int{}
		for i := range got {
			index[got[i].Name] = got[i].Index
			got[i].Index = 0
			got[i].Prefixes = slices.DeleteFunc(got[i].Prefixes, func(p netip.Prefix) bool { return p.Addr().IsLinkLocalUnicast() })
			if got[i].Name != "br0" { // random
				got[i].MAC = nil
			}
		}
		want := []Interface{
			{Name: "br0", MAC: mac, MTU: 1400, Up: true, Kind: "bridge", Prefixes: []netip.Prefix{
				netip.MustParsePrefix("10.240.0.4/16"), netip.MustParsePrefix("10.240.0.5/16"), netip.MustParsePrefix("fd00::4/64"),
			}},
			{Name: "lo", MTU: 65536, Loopback: true},
			{Name: "mv0", MTU: 1400, Kind: "macvlan"},
			{Name: "veth0", MTU: 1500, Kind: "veth", Master: index["br0"], Alias: "azure cbr0 4f5e eth0"},
			{Name: "veth1", MTU: 1500, Kind: "veth"},
		}
		byName := cmpopts.SortSlices(func(a, b Interface) bool { return a.Name < b.Name })
		if diff := cmp.Diff(want, got, byName, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("interfaces (-want +got):\n%s", diff)
		}
		sameByName(t, "no such link", "0123456789abcdef0")
	})
}

// The virtual function of an Azure NIC cannot be had here. To the kernel it is a device whose master is another kind of
// device than a bridge, as a port of a bond or VRF is. Those kinds may be missing from a kernel.
func TestInterfacesMarksAPortOfAnythingButABridgeAsASlave(t *testing.T) {
	t.Parallel()
	masters := map[string]func() netlink.Link{
		"bond": func() netlink.Link {
			b := netlink.NewLinkBond(attrs("m0"))
			b.Mode = netlink.BOND_MODE_ACTIVE_BACKUP
			return b
		},
		"vrf": func() netlink.Link { return &netlink.Vrf{LinkAttrs: attrs("m0"), Table: 10} },
	}
	for kind, master := range masters {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			var lacks error
			inNewNetns(t, func(t *testing.T) {
				m := master()
				if lacks = netlink.LinkAdd(m); lacks != nil {
					return
				}
				addLink(t, &netlink.Veth{LinkAttrs: attrs("vf0"), PeerName: "far"})
				vf, err := netlink.LinkByName("vf0")
				check(t, err)
				check(t, netlink.LinkSetMaster(vf, m))
				got, err := Host{}.Interfaces()
				check(t, err)
				for _, i := range got {
					sameByName(t)
					if want := i.Name == "vf0"; i.Slave != want {
						t.Errorf("%s: slave = %v, want %v (master %d)", i.Name, i.Slave, want, i.Master)
					}
				}
			})
			if lacks != nil {
				t.Skipf("this kernel has no %s: %v", kind, lacks)
			}
		})
	}
}

func TestASlaveIsFoundFromItsMasterAlone(t *testing.T) {
	t.Parallel()
	links := map[int]Interface{
		2: {Index: 2, Name: "eth0"},
		3: {Index: 3, Name: "enP1s1", Master: 2},
		4: {Index: 4, Name: "azure2", Kind: "bridge"},
		5: {Index: 5, Name: "azv1", Kind: "veth", Master: 4},
		6: {Index: 6, Name: "enP2s2", Slave: true},
	}
	var slaves []string
	for _, i := range assemble(links, nil) {
		if i.Slave {
			slaves = append(slaves, i.Name)
		}
	}
	if diff := cmp.Diff([]string{"enP1s1", "enP2s2"}, slaves); diff != "" {
		t.Errorf("slaves (-want +got):\n%s", diff)
	}
}

// Interfaces come and go while they are listed. What exists throughout must be listed each time.
func TestInterfacesMissesNothingWhileOthersChange(t *testing.T) {
	t.Parallel()
	inNewNetns(t, func(t *testing.T) {
		const stable = 50
		for n := range stable {
			addLink(t, &netlink.Bridge{LinkAttrs: attrs("keep" + string(rune('a'+n/26)) + string(rune('a'+n%26)))})
		}
		ns, err := os.Open("/proc/thread-self/ns/net")
		check(t, err)
		defer ns.Close()
		stop := make(chan struct{})
		var churn sync.WaitGroup
		churn.Go(func() {
			runtime.LockOSThread()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				t.Errorf("setns: %v", err)
				return
			}
			for {
				select {
				case <-stop:
					return
				default:
				}
				d := &netlink.Bridge{LinkAttrs: attrs("churn")}
				if err := netlink.LinkAdd(d); err != nil {
					t.Errorf("add: %v", err)
					return
				}
				if err := netlink.LinkDel(d); err != nil {
					t.Errorf("delete: %v", err)
					return
				}
			}
		})
		for range 20 {
			got, err := Host{}.Interfaces()
			if err != nil {
				t.Errorf("interfaces: %v", err)
				break
			}
			n := 0
			for _, i := range got {
				if len(i.Name) == 6 && i.Name[:4] == "keep" {
					n++
				}
			}
			if n != stable {
				t.Errorf("listed %d of %d lasting interfaces", n, stable)
			}
		}
		close(stop)
		churn.Wait()
	})
}

// answers are what a socket says, one dump after the other; the last one again and again.
type answers []answer

type answer struct {
	bodies [][]byte
	err    error
}

func (a *answers) DumpOnce([]byte, uint16) ([][]byte, error) {
	now := (*a)[0]
	if len(*a) > 1 {
		*a = (*a)[1:]
	}
	return now.bodies, now.err
}

func TestInterruptedDumpsAreMergedAndAWholeOneStandsAlone(t *testing.T) {
	t.Parallel()
	link := func(index int32, name string) [][]byte {
		b := make([]byte, unix.SizeofIfInfomsg)
		binary.NativeEndian.PutUint32(b[4:], uint32(index))
		return [][]byte{wire.AppendText(b, unix.IFLA_IFNAME, name)}
	}
	tests := map[string]struct {
		answers answers
		want    []string
		wantErr error
	}{
		"a whole one stands alone": {answers{{link(2, "gone"), wire.ErrInterrupted}, {link(3, "eth0"), nil}}, []string{"eth0"}, nil},
		"interrupted ones are merged": {answers{{link(2, "a"), wire.ErrInterrupted}, {link(3, "b"), wire.ErrInterrupted}},
			[]string{"a", "b"}, nil},
		"an error in between is overcome": {answers{{nil, wire.ErrInterrupted}, {link(3, "b"), wire.ErrInterrupted}}, []string{"b"}, nil},
		"errors only are an error":        {answers{{nil, wire.ErrInterrupted}}, nil, wire.ErrInterrupted},
		"another error is one at once":    {answers{{nil, unix.EPERM}}, nil, unix.EPERM},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			links := map[int]Interface{}
			err := collect(&tt.answers, unix.RTM_GETLINK, nil, func() { clear(links) }, func(m wire.Message) {
				i := interfaceOf(m)
				links[i.Index] = i
			})
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("error = %v, want %v", err, tt.wantErr)
			}
			var got []string
			for _, i := range assemble(links, nil) {
				got = append(got, i.Name)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
		})
	}
}
