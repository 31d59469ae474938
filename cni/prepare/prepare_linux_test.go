package prepare

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-container-networking/platform"
	"github.com/google/go-cmp/cmp"
)

// tree writes files below a folder of the test's; a name with "/" at its end is a folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		dir := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			dir = path
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if dir == path {
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// listing is all that is below a folder.
func listing(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, root)
		info, err := d.Info()
		if err != nil {
			return err
		}
		found[name] = info.Mode().String()
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found[name] += "\n" + string(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// ubuntu is what a VM of that image has: netplan's file for the NIC matches by its MAC.
var ubuntu = map[string]string{
	"etc/cloud/cloud.cfg":                         "x",
	"etc/cloud/cloud.cfg.d/":                      "",
	"etc/netplan/50-cloud.yml":                    "x",
	"etc/sysctl.d/":                               "",
	"etc/modules-load.d/":                         "",
	"run/systemd/netif/state":                     "",
	"run/systemd/network/10-netplan-eth0.network": "[Match]\nMACAddress=00:0d:3a:00:00:01\nName=eth0\n[Network]\nDHCP=ipv4\n",
}

var nics = []platform.Interface{{Name: "eth0", MAC: net.HardwareAddr{0, 0x0d, 0x3a, 0, 0, 1}}}

// said collects what a person is told.
type said struct{ strings.Builder }

func (s *said) say(format string, args ...any) { fmt.Fprintf(&s.Builder, format+"\n", args...) }

// What each kind of node gets, by the lines without the head's; and all of it goes again, the folders with it.
func TestEachNodeGetsWhatItNeeds(t *testing.T) {
	t.Parallel()
	const (
		forward = "/etc/sysctl.d/60-azure-vnet.conf: net.ipv4.ip_forward = 1"
		calls   = ", net.bridge.bridge-nf-call-iptables = 1, net.bridge.bridge-nf-call-ip6tables = 1"
		cloud   = "/etc/cloud/cloud.cfg.d/15-azure-vnet.cfg: datasource:,   Azure:,     apply_network_config_for_secondary_ips: false"
		module  = "/etc/modules-load.d/azure-vnet.conf: br_netfilter"
		bridge  = "/etc/systemd/network/05-azure-vnet.network: [Match], Name=azure* azv*, , [Link], Unmanaged=yes"
		keep    = "/etc/systemd/network/10-netplan-eth0.network.d/azure-vnet.conf: [Network], KeepMaster=yes, KeepConfiguration=yes"
		others  = "/etc/systemd/networkd.conf.d/azure-vnet.conf: [Network], ManageForeignRoutes=no, ManageForeignRoutingPolicyRules=no"
		manager = "/etc/NetworkManager/conf.d/azure-vnet.conf: [keyfile], unmanaged-devices=interface-name:azure*;interface-name:azv*"
	)
	for name, c := range map[string]struct {
		files map[string]string
		node  Node
		want  []string
	}{
		"a bare one":          {files: map[string]string{"etc/": ""}, want: []string{forward}},
		"a bare one, bridged": {files: map[string]string{"etc/": ""}, node: Node{Bridged: true}, want: []string{module, forward + calls}},
		"Ubuntu":              {files: ubuntu, node: Node{NICs: nics}, want: []string{cloud, forward}},
		"Ubuntu, bridged": {files: ubuntu, node: Node{Bridged: true, NICs: nics},
			want: []string{cloud, module, bridge, keep, others, forward + calls}},
		"NetworkManager": {files: map[string]string{"etc/NetworkManager/": ""}, want: []string{forward}},
		"NetworkManager, bridge": {files: map[string]string{"etc/NetworkManager/": ""}, node: Node{Bridged: true, NICs: nics},
			want: []string{manager, module, forward + calls}},
		"networkd that is told already": {
			files: map[string]string{"etc/systemd/system/multi-user.target.wants/systemd-networkd.service": "",
				"etc/systemd/network/20-x.network": "[Match]\nName=e*\n[Network]\nKeepMaster=yes\n"},
			node: Node{Bridged: true, NICs: nics}, want: []string{module, bridge, others, forward + calls},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := c.node
			n.Root = tree(t, c.files)
			before := listing(t, n.Root)
			var s said
			if err := n.Prepare(t.Context(), true, s.say); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, listing(t, n.Root)); diff != "" {
				t.Errorf("a dry run changes something:\n%s", diff)
			}
			would := strings.ReplaceAll(s.String(), "would write", "wrote")
			s.Reset()
			if err := n.Prepare(t.Context(), false, s.say); err != nil {
				t.Fatal(err)
			}
			if s.String() != would {
				t.Errorf("it says\n%sand the dry run\n%s", s.String(), would)
			}
			var got []string
			for _, path := range places(n.Root) {
				b, err := os.ReadFile(filepath.Join(n.Root, path))
				if err != nil {
					continue
				}
				_, body, ours := parse(string(b))
				if !ours {
					t.Errorf("%s is not known to be ours:\n%s", path, b)
				}
				got = append(got, path+": "+strings.ReplaceAll(strings.TrimSuffix(body, "\n"), "\n", ", "))
			}
			slices.Sort(c.want)
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			after := listing(t, n.Root)
			s.Reset()
			if err := n.Prepare(t.Context(), false, s.say); err != nil || strings.Contains(s.String(), "wrote") {
				t.Errorf("the second time: %v, %s", err, s.String())
			}
			if diff := cmp.Diff(after, listing(t, n.Root)); diff != "" {
				t.Errorf("the second time changes something:\n%s", diff)
			}
			if err := n.Restore(t.Context(), false, s.say); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, listing(t, n.Root)); diff != "" {
				t.Errorf("the node is not as it was:\n%s", diff)
			}
		})
	}
}

// What somebody has written, or changed, stays: before, while and after.
func TestAnOperatorsFilesStay(t *testing.T) {
	t.Parallel()
	files := map[string]string{"etc/systemd/network/05-azure-vnet.network": "[Match]\nName=azure*\n"}
	for name, content := range ubuntu {
		files[name] = content
	}
	n := Node{Root: tree(t, files), Bridged: true, NICs: nics}
	var s said
	if err := n.Prepare(t.Context(), false, s.say); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(s.String(), "/etc/systemd/network/05-azure-vnet.network is yours and stays") ||
		!strings.Contains(s.String(), "    Unmanaged=yes\n") {
		t.Error(s.String())
	}
	changed := filepath.Join(n.Root, modules)
	b, err := os.ReadFile(changed)
	if err != nil {
		t.Fatal(err)
	}
	mine := string(b) + "vxlan\n"
	if err = os.WriteFile(changed, []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	n.Bridged = false // br_netfilter is not needed any more
	for _, do := range []func() error{
		func() error { return n.Prepare(t.Context(), false, s.say) },
		func() error { return n.Restore(t.Context(), false, s.say) },
	} {
		if err = do(); err != nil {
			t.Fatal(err)
		}
		if b, err = os.ReadFile(changed); err != nil || string(b) != mine {
			t.Errorf("the file that somebody has changed is %q (%v)", b, err)
		}
	}
	if b, err = os.ReadFile(filepath.Join(n.Root, bridgeFile)); err != nil || string(b) != "[Match]\nName=azure*\n" {
		t.Errorf("the operator's file is %q (%v)", b, err)
	}
	if _, err = os.Stat(filepath.Join(n.Root, foreign)); err == nil {
		t.Errorf("%s stays", foreign)
	}
}

// A node that changes its mode has the files of the new one alone.
func TestAnotherModeNeedsOtherFiles(t *testing.T) {
	t.Parallel()
	n := Node{Root: tree(t, ubuntu), NICs: nics}
	before := listing(t, n.Root)
	var s said
	var routed map[string]string
	for _, bridged := range []bool{false, true, false} {
		n.Bridged = bridged
		if err := n.Prepare(t.Context(), false, s.say); err != nil {
			t.Fatal(err)
		}
		if routed == nil {
			routed = listing(t, n.Root)
		}
	}
	if diff := cmp.Diff(routed, listing(t, n.Root)); diff != "" {
		t.Errorf("files of the other mode stay:\n%s", diff)
	}
	if err := n.Restore(t.Context(), false, s.say); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, listing(t, n.Root)); diff != "" {
		t.Errorf("the node is not as it was:\n%s", diff)
	}
}

// Several at once do not disturb each other.
func TestSeveralAtOnce(t *testing.T) {
	t.Parallel()
	root := tree(t, ubuntu)
	before := listing(t, root)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			n := Node{Root: root, Bridged: i%2 == 0, NICs: nics}
			for range 20 {
				var s said
				if err := n.Prepare(t.Context(), false, s.say); err != nil {
					t.Error(err)
				}
				if i%4 != 0 {
					continue
				}
				if err := n.Restore(t.Context(), false, s.say); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var s said
	if err := (Node{Root: root}).Restore(t.Context(), false, s.say); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, listing(t, root)); diff != "" {
		t.Errorf("the node is not as it was:\n%s", diff)
	}
}

// A path that cannot be written is named, and the others are written.
func TestWhatCannotBeWrittenIsNamed(t *testing.T) {
	t.Parallel()
	n := Node{Root: tree(t, map[string]string{"etc/modules-load.d": "a file in the place of a folder"}), Bridged: true}
	var s said
	err := n.Prepare(t.Context(), false, s.say)
	if err == nil || !strings.Contains(err.Error(), "/etc/modules-load.d/azure-vnet.conf: ") {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(s.String(), "wrote "+sysctls) {
		t.Error(s.String())
	}
}
