package ipamplugin

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/cni/console/consoletest"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/platform"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// poolsWith is what is shown of a node with so many holders, of which two are not azure-vnet's, and nobody knows who
// one is.
func poolsWith(holders int) shownState {
	s := shownState{
		Source: shownSource{"azure", noon.Add(-5 * time.Minute), azure.HostAgentURL, ""},
		Pools: []shownPool{
			{Prefix: "10.240.0.0/16", Interface: "eth0", MAC: "00:0d:3a:11:22:33", Gateway: "10.240.0.1", Capacity: 255, Used: holders,
				Available: 255 - holders, Networks: []string{"azure"}},
			{Prefix: "fd00:240:0:1::/64", Interface: "eth1", MAC: "00:0d:3a:11:22:34", Gateway: "fe80::1234:5678:9abc", Capacity: 12, Available: 12},
		},
		Unmatched: []string{"00:0d:3a:aa:bb:cc"},
	}
	for i := range holders {
		r := shownReservation{
			Address: netip.AddrFrom4([4]byte{10, 240, byte(i / 200), byte(i%200 + 5)}),
			Owner:   ipam.Owner{Network: "azure", ContainerID: fmt.Sprintf("%064x", 0xabcdef+i), IfName: "eth0"},
			Pod:     fmt.Sprintf("accounting-production/payment-service-with-a-long-name-5f9c7b6d8-%d", i),
			Created: noon.Add(-time.Duration(250-i) * 1000 * time.Second),
		}
		switch i {
		case 1:
			r.Owner, r.Pod = ipam.Owner{Network: "bridged", ContainerID: "c1", IfName: "net1"}, ""
		case 2:
			r.Owner, r.Pod = ipam.Owner{}, ""
		case 3:
			r.Pod = "default/web-0"
		}
		s.Pools[0].Reservations = append(s.Pools[0].Reservations, r)
	}
	return s
}

// What show says, to a terminal of 80 columns and of others, and to a file.
func TestScreensOfShow(t *testing.T) {
	t.Parallel()
	failed := poolsWith(4)
	failed.Source.Failure = "dial tcp 168.63.129.16:80: connect: network is unreachable"
	for name, c := range map[string]struct {
		state shownState
		width int
	}{
		"show-80": {poolsWith(4), 80}, "show-80-250": {poolsWith(250), 80}, "show-200": {poolsWith(4), 200}, "show-piped": {poolsWith(4), 0},
		"show-failed":  {failed, 80},
		"show-nothing": {shownState{}, 80},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text bytes.Buffer
			tables(c.state, noon, c.width, &text)
			consoletest.Screen(t, name, text.String())
			for line := range strings.SplitSeq(text.String(), "\n") {
				if c.width > 0 && utf8.RuneCountInString(line) > c.width {
					t.Errorf("the line has %d columns: %s", utf8.RuneCountInString(line), line)
				}
				if c.width == 0 && strings.Contains(line, "…") {
					t.Errorf("something is cut: %s", line)
				}
			}
		})
	}
}

// node is a folder with the plugin's state and configuration.
type node struct {
	*testing.T
	dir, conf string
}

func newNode(t *testing.T, listed ...string) *node {
	t.Helper()
	n := &node{t, t.TempDir(), ""}
	n.conf = filepath.Join(n.dir, "10-azure.conflist")
	n.list(listed...)
	n.write("10-azure.conflist", fmt.Sprintf(
		`{"name":"azure","cniVersion":"1.0.0","plugins":[{"type":"ptp","dataDir":%q,"ipam":{"type":"azure-vnet-ipam","environment":"mas","interfacesFile":%q}}]}`,
		n.dir, filepath.Join(n.dir, "interfaces.json")))
	return n
}

func (n *node) write(name, text string) {
	n.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o600); err != nil {
		n.Fatal(err)
	}
}

// list makes the source list addresses, for whatever NIC this machine has.
func (n *node) list(addresses ...string) {
	n.Helper()
	var list []string
	for _, a := range addresses {
		list = append(list, fmt.Sprintf(`{"Address":%q}`, a))
	}
	n.write("interfaces.json", fmt.Sprintf(
		`{"Interfaces":[{"MacAddress":"02-00-00-00-00-99","IPSubnets":[{"Prefix":"198.51.100.0/24","IPAddresses":[%s]}]}]}`,
		strings.Join(list, ",")))
}

// hold writes a reservation that is so old.
func (n *node) hold(address, container string, age time.Duration) {
	n.Helper()
	s, err := OpenStore(n.dir, slog.New(slog.DiscardHandler))
	if err != nil {
		n.Fatal(err)
	}
	err = s.Update(n.Context(), func(state *ipam.State) error {
		if len(state.Pools) == 0 {
			var listed []netip.Addr
			for i := range byte(5) {
				listed = append(listed, netip.AddrFrom4([4]byte{198, 51, 100, 4 + i}))
			}
			mac := net.HardwareAddr{2, 0, 0, 0, 0, 0x99}
			state.AddressSpace = ipam.Space([]source.Subnet{{MAC: mac.String(), Prefix: netip.MustParsePrefix("198.51.100.0/24"),
				Addresses: listed}}, []platform.Interface{{Name: "nic9", MAC: mac}}, "")
		}
		state.Adopt(map[netip.Addr]ipam.Owner{netip.MustParseAddr(address): {Network: "azure", ContainerID: container, IfName: "eth0"}},
			time.Now().Add(-age))
		return nil
	})
	if err != nil {
		n.Fatal(err)
	}
}

func (n *node) runs(exit int, says string, args ...string) {
	n.Helper()
	var stdout, stderr bytes.Buffer
	got := Operator(nil)(n.Context(), append(args, "--config", n.conf), &stdout, &stderr)
	if all := stdout.String() + stderr.String(); got != exit || !strings.Contains(all, says) {
		n.Errorf("%v: exit %d instead of %d, %q is not in\n%s", args, got, exit, says, all)
	}
}

func TestReleaseFreesWhatNobodyHas(t *testing.T) {
	t.Parallel()
	n := newNode(t, "198.51.100.5")
	n.hold("198.51.100.5", "0123456789ab", time.Hour)
	n.hold("198.51.100.6", "0123456789cd", time.Hour)
	n.hold("198.51.100.7", "fresh-container", time.Second)
	n.write("azure-vnet.json.bak", `{"schema":3,"data":{"networks":{"azure":{}}},"records":[{"network":"azure","containerID":"0123456789ab","ifName":"eth0","podNamespace":"default","podName":"web-0"}]}`)
	n.runs(0, "default/web-0", "show")
	n.runs(1, "nobody holds 198.51.100.8", "release", "198.51.100.8")
	n.runs(1, "nobody holds 0123", "release", "0123")
	n.runs(1, "is the beginning of 2 containers: 0123456789ab, 0123456789cd", "release", "0123456789")
	n.runs(0, "198.51.100.6 is free.", "release", "0123456789c")
	n.runs(0, "198.51.100.5 is free.", "release", "198.51.100.5")
	n.runs(1, "ADD may be under way", "release", "fresh-container")
	n.runs(0, "198.51.100.7 is free.", "release", "fresh-container", "--force")
	n.runs(1, "nobody holds", "release", "198.51.100.5")
}

func TestReleaseSparesAPod(t *testing.T) {
	t.Parallel()
	n := newNode(t, "198.51.100.5")
	n.hold("198.51.100.5", "0123456789ab", time.Hour)
	n.write("azure-vnet.json", `{"schema":3,"data":{"networks":{"azure":{}}},"records":[{"network":"azure","containerID":"0123456789ab","ifName":"eth0","addresses":["198.51.100.5/24"]}]}`)
	n.runs(1, "a container has 198.51.100.5, which azure/0123456789ab/eth0 holds", "release", "0123456789ab")
	n.runs(0, "198.51.100.5 is free.", "release", "0123456789ab", "--force")
}

func TestRefreshSaysWhatItFound(t *testing.T) {
	t.Parallel()
	n := newNode(t, "198.51.100.5")
	n.hold("198.51.100.5", "0123456789ab", time.Hour)
	n.runs(0, "198.51.100.0/24 on nic9: 5 addresses (as before), 4 free", "refresh")
	n.runs(0, "02:00:00:00:00:99: no NIC here has this MAC", "refresh")
	n.runs(0, "It lists MAC 02:00:00:00:00:99, which no NIC here has", "show")
	n.write("interfaces.json", "{")
	n.runs(1, "remedy: write the file that the message names", "refresh")
}
