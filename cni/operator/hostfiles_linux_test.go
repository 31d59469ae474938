package operator

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/platform"
)

// tree writes files below a folder; a name with "/" at its end is a folder, a text that begins with "->" a symbolic
// link.
func tree(t *testing.T, files map[string]string) hostFiles {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch target, link := strings.CutPrefix(text, "->"); {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		case link:
			err = os.Symlink(filepath.Join(root, target), path)
		default:
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return hostFiles{root}
}

func TestCloudInitIsTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		fails string
		none  bool // nobody is there to be told
	}{
		"without cloud-init":     {files: map[string]string{"etc/": ""}, none: true},
		"with it":                {files: map[string]string{"etc/cloud/cloud.cfg.d/": ""}},
		"without the folder":     {files: map[string]string{"etc/cloud/cloud.cfg": "x"}},
		"by another version":     {files: map[string]string{"etc/cloud/cloud.cfg.d/15-azure-vnet.cfg": "datasource: {}"}},
		"after an interruption":  {files: map[string]string{"etc/cloud/cloud.cfg.d/.15-azure-vnet.new": "data"}},
		"over a link":            {files: map[string]string{"victim": "data", "etc/cloud/cloud.cfg.d/15-azure-vnet.cfg": "->victim"}},
		"over a link, meanwhile": {files: map[string]string{"victim": "data", "etc/cloud/cloud.cfg.d/.15-azure-vnet.new": "->victim"}},
		"the folder is a link": {files: map[string]string{"other/": "", "etc/cloud/cloud.cfg": "x", "etc/cloud/cloud.cfg.d": "->other"},
			fails: "/etc/cloud/cloud.cfg.d is no folder"},
		"its folder is a link": {files: map[string]string{"other/cloud.cfg.d/": "", "etc/": "", "etc/cloud": "->other"},
			fails: "/etc/cloud is no folder"},
		"the file is a folder": {files: map[string]string{"etc/cloud/cloud.cfg.d/15-azure-vnet.cfg/x": "data"}, fails: "is a folder"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := tree(t, c.files)
			said := &strings.Builder{}
			say := func(format string, args ...any) { fmt.Fprintf(said, format+"\n", args...) }
			err := f.tellCloudInit(say)
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Fatalf("%v instead of %q", err, c.fails)
			}
			file := f.path(cloudInitFile)
			info, serr := os.Lstat(file)
			switch {
			case c.none || c.fails != "":
				if serr == nil && info.Mode().IsRegular() || said.Len() > 0 {
					t.Errorf("%s is written: %s", file, said)
				}
			case serr != nil || info.Mode() != 0o644:
				t.Errorf("%v, %v", info, serr)
			default:
				if text, err := os.ReadFile(file); err != nil || string(text) != cloudInitText || !strings.Contains(said.String(), cloudInitFile) {
					t.Errorf("%q, %v; %s", text, err, said)
				}
				if f.cloudInitTakesAll() {
					t.Error("it is not known to be told")
				}
			}
			if text, err := os.ReadFile(f.path("victim")); err == nil && string(text) != "data" {
				t.Errorf("a link was followed: %q", text)
			}
			entries, _ := os.ReadDir(filepath.Dir(file))
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), ".") && c.fails == "" {
					t.Errorf("%s is left", e.Name())
				}
			}
		})
	}
}

// twoNICs have addresses for pods each.
func twoNICs() ipam.AddressSpace {
	var ifaces []platform.Interface
	for i, name := range []string{"eth0", "eth1"} {
		ifaces = append(ifaces, platform.Interface{Index: i + 2, Name: name, MAC: net.HardwareAddr{0, 0x0d, 0x3a, 0, 0, byte(i + 2)}, Up: true})
	}
	list := func(texts ...string) (addrs []netip.Addr) {
		for _, t := range texts {
			addrs = append(addrs, netip.MustParseAddr(t))
		}
		return addrs
	}
	return ipam.Space([]source.Subnet{
		{MAC: "00:0d:3a:00:00:02", Primary: true, Prefix: netip.MustParsePrefix("10.240.0.0/16"),
			Addresses: list("10.240.1.1", "10.240.1.2", "10.240.1.3")},
		{MAC: "00:0d:3a:00:00:02", Primary: true, Prefix: netip.MustParsePrefix("fd00::/64"), Addresses: list("fd00::1:1", "fd00::1:2")},
		{MAC: "00:0d:3a:00:00:03", Prefix: netip.MustParsePrefix("10.241.0.0/16"), Addresses: list("10.241.1.1", "10.241.1.2")},
	}, ifaces, "")
}

func TestWhoBringsAddressesBack(t *testing.T) {
	t.Parallel()
	space := twoNICs()
	for name, c := range map[string]struct {
		files map[string]string
		want  []string // parts of what is said, in this order; nothing else is
	}{
		"nobody": {files: map[string]string{
			"etc/netplan/50-cloud-init.yaml": "network: {ethernets: {eth0: {dhcp4: true, addresses: [10.240.1.77/16, 110.240.1.1/16]}}}\n# " +
				"10.240.1.1\n",
			"etc/sysconfig/network/ifcfg-eth0":     "BOOTPROTO='dhcp'\n",
			"etc/cloud/cloud.cfg.d/90_dpkg.cfg":    "datasource_list: [ Azure ]\n",
			"etc/cloud/cloud.cfg.d/99-other.cfg":   "# apply_network_config_for_secondary_ips: true\n",
			"etc/systemd/network/10-other.network": "[Network]\nAddress=10.9.9.9/16\n",
		}},
		"netplan": {
			files: map[string]string{"etc/netplan/50-cloud-init.yaml": "addresses:\n - 10.240.1.1/16\n - \"10.240.1.2/16\"\n - fd00::1:1/128\n"},
			want:  []string{"/etc/netplan/50-cloud-init.yaml has 10.240.1.1, 10.240.1.2, fd00::1:1, and the next netplan apply"},
		},
		"networkd": {files: map[string]string{"etc/systemd/network/20-eth0.network": "[Network]\nAddress=10.240.1.3/16\n"},
			want: []string{"/etc/systemd/network/20-eth0.network has 10.240.1.3"}},
		"NetworkManager": {files: map[string]string{"etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection": "address2=10.240.1.3/16\n"}, want: []string{"cloud-init-eth0.nmconnection has 10.240.1.3"}},
		"ifupdown":       {files: map[string]string{"etc/network/interfaces.d/50-cloud-init": "iface eth0 inet static\n address 10.240.1.1/16\n"}, want: []string{"/etc/network/interfaces.d/50-cloud-init has 10.240.1.1"}},
		"ifcfg": {files: map[string]string{"etc/sysconfig/network-scripts/ifcfg-eth0": "IPADDR1=10.240.1.1\nIPV6ADDR=fd00::1:2/128\n"},
			want: []string{"ifcfg-eth0 has 10.240.1.1, fd00::1:2"}},
		"cloud-netconfig": {
			files: map[string]string{"etc/default/cloud-netconfig": "", "etc/sysconfig/network/ifcfg-eth0": "CLOUD_NETCONFIG_MANAGE='yes'\n",
				"etc/sysconfig/network/ifcfg-eth1": "CLOUD_NETCONFIG_MANAGE=\"no\"\n"},
			want: []string{"cloud-netconfig gives the host these addresses again: write CLOUD_NETCONFIG_MANAGE=\"no\" into " +
				"/etc/sysconfig/network/ifcfg-eth0."},
		},
		"a later file of cloud-init": {
			files: map[string]string{"etc/cloud/cloud.cfg.d/90-azure.cfg": "datasource:\n  Azure:\n    " +
				"apply_network_config_for_secondary_ips: True\n",
				"etc/cloud/cloud.cfg.d/10-azure.cfg": "datasource: {Azure: {apply_network_config_for_secondary_ips: true}}\n"},
			want: []string{"/etc/cloud/cloud.cfg.d/90-azure.cfg comes after"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said []string
			tree(t, c.files).sayWhoBringsBack(space, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
			if len(said) != len(c.want) {
				t.Fatalf("said is %q", said)
			}
			for i, want := range c.want {
				if !strings.Contains(said[i], want) {
					t.Errorf("%q lacks %q", said[i], want)
				}
			}
		})
	}
}
