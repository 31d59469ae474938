package netlink

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/netlink/hostconf"
	"github.com/Azure/azure-container-networking/netlink/rtnl"
	"github.com/Azure/azure-container-networking/test/lab"
	"golang.org/x/sys/unix"
)

// snapshot is what the plugin remembers of azure0, if it knows that already.
func (h *host) snapshot(known []byte) (seen []byte) {
	h.Helper()
	h.kernel(func(nl *Handle) {
		b, ok, err := nl.Bridge("azure0", "eth0")
		if !ok || err != nil {
			h.Fatalf("the bridge is ok: %v, %v", ok, err)
		}
		seen, err = nl.Snapshot(b, known)
		h.Must(err)
	})
	return seen
}

// docs/network.md, How the bridge comes into being: somebody deletes it, and the kernel takes all from the host that it
// carried.
func TestADeletedBridgeComesBackWithAllThatTheHostHad(t *testing.T) {
	for name, damage := range map[string][]string{
		"deleted": {"link del azure0"},
		"down":    {"link set azure0 down"},
		// A DHCP client comes first: half of the configuration is on the master again, with another lease.
		"deleted, and the DHCP client was there": {"link del azure0", "addr add 10.240.0.4/16 brd + dev eth0",
			"addr add 10.98.0.1/24 dev eth0 valid_lft 300 preferred_lft 200", "route add default via 10.240.0.1 metric 100 src 10.240.0.4",
			"-6 addr add fd00::9/64 dev eth0"},
		"deleted, and a path is gone for good": {"link del azure0", "link del eth9"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newDualHost(t)
			h.configure()
			h.routes()
			h.ensureBridge()
			h.IP("neigh add 10.240.1.1 lladdr 0a:58:0a:f0:01:01 nud permanent dev azure0") // a pod's
			lost := h.snapshot(h.remembered)
			h.IP("neigh del 10.240.1.1 dev azure0")
			before := h.everything()
			for _, args := range damage {
				h.IP(args)
			}
			h.ensureLost(Lost{Host: lost})
			switch after := h.everything(); {
			case name == "deleted, and the DHCP client was there":
				if lab.Lifetime.MatchString(h.IP("-4 addr show dev azure0")) || strings.Count(after, `"local":"10.98.0.1"`) != 1 {
					t.Errorf("the lease has an end: %s", h.IP("addr show dev azure0"))
				}
				// Besides what it had it has the client's route.
				added := diff(before, after)
				if strings.HasPrefix(added, "- ") || strings.Count(added, "+ ") != 1 {
					t.Errorf("the host is not as it was:\n%s", added)
				}
			case name == "deleted, and a path is gone for good":
				for _, part := range []string{`"local":"10.240.0.4"`, `"dst":"10.56.0.0/16"`, `"dst":"10.80.0.0/16"`, `"dst":"10.73.0.0/16"`} {
					if !strings.Contains(after, part) {
						t.Errorf("%s is not back", part)
					}
				}
			case after != before:
				t.Errorf("the host is not as it was:\n%s", diff(before, after))
			}
			h.Ping(h.VM.Ns, lab.Gateway)
			h.removeBridge()
			h.Ping(h.VM.Ns, lab.Gateway)
			want := regexp.MustCompile("valid_lft 86(400|401|399)sec") // a second may begin between two readings
			if name == "deleted, and the DHCP client was there" {
				want = regexp.MustCompile("valid_lft (300|301|299)sec")
			}
			if have := h.IP("addr show dev eth0 to 10.98.0.1"); !want.MatchString(have) {
				t.Errorf("the lease has not come back with %s: %s", want, have)
			}
		})
	}
}

// cleanup after somebody deleted the bridge.
func TestRemoveBridgeGivesTheMasterWhatADeletedBridgeHad(t *testing.T) {
	h := newDualHost(t)
	h.configure()
	h.routes()
	before := h.everything()
	h.ensureBridge()
	h.IP("link del azure0")
	h.removeBridge()
	if after := h.everything(); after != before {
		t.Errorf("the host is not as it was:\n%s", diff(before, after))
	}
	h.Ping(h.VM.Ns, lab.Gateway)
}

// An ADD writes the state once more only if the host has changed.
func TestASnapshotChangesOnlyWithTheHost(t *testing.T) {
	h := newDualHost(t)
	h.configure()
	h.routes()
	h.ensureBridge()
	known := h.remembered
	same := func(what string, want bool) {
		t.Helper()
		seen := h.snapshot(known)
		if got := bytes.Equal(seen, known); got != want {
			t.Errorf("%s: the snapshot is the same: %v", what, got)
		}
		known = seen
	}
	h.IP("neigh add 10.240.1.1 lladdr 0a:58:0a:f0:01:01 nud permanent dev azure0")
	h.Ping(h.VM.Ns, lab.Gateway)
	known = older(t, known)
	same("a pod's neighbour, and what the host learnt", true)
	for _, change := range []string{
		"addr add 10.240.0.77/16 dev azure0",
		"addr change 10.98.0.1/24 dev azure0 valid_lft 90000 preferred_lft 43200",
		"route add 10.61.0.0/16 via 10.240.0.1",
		"route del 10.61.0.0/16",
		"-6 route add fd61::/64 via fd00::1 dev azure0",
		"nexthop replace id 10 via 10.240.0.2 dev azure0",
		"nexthop replace id 12 group 10,7/11,2",
		"neigh add 10.240.0.96 lladdr 02:00:00:00:00:96 nud permanent dev azure0",
		"neigh del proxy 10.240.0.99 dev azure0",
	} {
		h.IP(change)
		same(change, false)
		same("after "+change, true)
	}
}

// older is the snapshot as it was read some time before: there was more left of each lab.Lifetime.
func older(t *testing.T, snapshot []byte) []byte {
	t.Helper()
	c := hostconf.Decode(bytes.Clone(snapshot))
	for _, m := range c.Addrs {
		m.WholeLifetimes(binary.NativeEndian.Uint32(m.Get(unix.IFA_CACHEINFO)[12:]) + 1000)
	}
	for _, m := range c.All() {
		if left := m.Get(unix.RTA_EXPIRES); m.Type == unix.RTM_NEWROUTE && left != nil {
			binary.NativeEndian.PutUint32(left, m.U32(unix.RTA_EXPIRES)+10)
		}
	}
	out := c.Encode(false)
	if bytes.Equal(out, snapshot) {
		t.Fatal("nothing in the snapshot has a lifetime")
	}
	return out
}

// Whatever is cut off or damaged: what is readable counts, and nothing panics.
func TestADamagedSnapshotIsReadAsFarAsItGoes(t *testing.T) {
	h := newDualHost(t)
	h.configure()
	h.routes()
	h.IP("neigh add 10.240.0.99 lladdr 02:00:00:00:00:99 dev eth0 nud permanent")
	h.ensureBridge()
	whole := h.remembered
	for n := range whole {
		_ = hostconf.Decode(whole[:n]).Encode(false)
		damaged := bytes.Clone(whole)
		damaged[n] ^= 0xff
		_ = hostconf.Decode(damaged).Encode(true)
	}
	if got := hostconf.Decode(whole).Encode(false); !bytes.Equal(got, whole) {
		t.Error("reading and writing is not the same")
	}
	// Each value too short, of each kind of object.
	kinds, conf := map[uint16]bool{}, hostconf.Decode(whole)
	for _, m := range append(conf.All(), conf.Neighs...) {
		kinds[m.Type] = true
		for i, a := range m.Attrs {
			for n := range a.Value {
				m.Attrs[i].Value = a.Value[:n]
				_ = conf.Encode(true)
				_ = conf.OnTerms(conf).Encode(false)
				conf.WithoutEnd().AddBeside(&rtnl.Batch{}, conf.Dev, conf, conf)
			}
			m.Attrs[i] = a
		}
	}
	for _, typ := range []uint16{unix.RTM_NEWADDR, unix.RTM_NEWROUTE, unix.RTM_NEWNEXTHOP, unix.RTM_NEWNEIGH} {
		if !kinds[typ] {
			t.Errorf("no message of type %d in the snapshot", typ)
		}
	}
}
