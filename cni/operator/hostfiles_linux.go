package operator

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/cni/prepare"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/platform"
)

// hostFiles are the files by which the host's interfaces get their addresses, below a folder that is / but in tests.
type hostFiles struct{ root string }

// cloudInitFile tells cloud-init what azure-vnet needs. It comes before the files that people make.
const (
	cloudInitDir  = "/etc/cloud/cloud.cfg.d"
	cloudInitFile = cloudInitDir + "/15-azure-vnet.cfg"
	cloudInitKey  = "apply_network_config_for_secondary_ips"
)

// cloudInitText is the file that host release writes; host prepare writes the same with another head.
const cloudInitText = "# Written by azure-vnet host release: the secondary addresses of the NIC are for pods.\n" +
	prepare.CloudInit

func (f hostFiles) path(name string) string { return filepath.Join(f.root, name) }

// cloudInitTakesAll says whether cloud-init is there, and not yet told by us to leave secondary addresses.
func (f hostFiles) cloudInitTakesAll() bool {
	if info, err := os.Stat(f.path("/etc/cloud")); err != nil || !info.IsDir() {
		return false
	}
	info, err := os.Lstat(f.path(cloudInitFile))
	if err != nil || !info.Mode().IsRegular() {
		return true
	}
	have, err := os.ReadFile(f.path(cloudInitFile))
	return err != nil || !strings.HasSuffix(string(have), "\n"+prepare.CloudInit)
}

// tellCloudInit writes the file, whole or not at all. No part of its path is followed through a symbolic link.
func (f hostFiles) tellCloudInit(say func(string, ...any)) error {
	if !f.cloudInitTakesAll() {
		return nil
	}
	if err := f.writeCloudInit(); err != nil {
		return fmt.Errorf("cloud-init could not be told to leave the addresses of pods, and will bring them back: %w", err)
	}
	say("cloud-init leaves them to pods from now on (%s).", cloudInitFile)
	return nil
}

func (f hostFiles) writeCloudInit() error {
	dir := f.path(cloudInitDir)
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Mkdir(d, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if info, err := os.Lstat(d); err != nil || !info.IsDir() {
			return errors.Join(err, fmt.Errorf("%s is no folder", f.shown(d)))
		}
	}
	if info, err := os.Lstat(f.path(cloudInitFile)); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder", cloudInitFile)
	}
	// cloud-init reads *.cfg only. What an interrupted command left is not followed, but replaced.
	temp := filepath.Join(dir, ".15-azure-vnet.new")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(cloudInitText)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(temp, f.path(cloudInitFile))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}

// configuration of interfaces, by pattern, and how the addresses in it come back.
var interfaceFiles = []struct{ pattern, then string }{
	{"/etc/netplan/*.yaml", "the next netplan apply, or the next boot"},
	{"/run/netplan/*.yaml", "the next netplan apply"},
	{"/etc/systemd/network/*.network", "the next networkctl reload, or the next boot"},
	{"/etc/systemd/network/*.network.d/*.conf", "the next networkctl reload, or the next boot"},
	{"/etc/NetworkManager/system-connections/*", "the next nmcli connection up, or the next boot"},
	{"/etc/network/interfaces", "the next ifup, or the next boot"},
	{"/etc/network/interfaces.d/*", "the next ifup, or the next boot"},
	{"/etc/sysconfig/network-scripts/ifcfg-*", "the next ifup, or the next boot"},
	{"/etc/sysconfig/network/ifcfg-*", "the next ifup, or the next boot"},
}

// sayWhoBringsBack names what would give the host addresses of the space again, and what to do about it.
func (f hostFiles) sayWhoBringsBack(space ipam.AddressSpace, say func(string, ...any)) {
	for _, kind := range interfaceFiles {
		files, _ := filepath.Glob(f.path(kind.pattern)) // fails for a bad pattern only
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				continue // a folder, or gone
			}
			if list := addressesIn(string(text), space); len(list) > 0 {
				say("%s has %s, and %s gives the host these addresses again: delete them there.", f.shown(file),
					strings.Join(list, ", "), kind.then)
			}
		}
	}
	for _, file := range f.cloudNetconfig(space) {
		say("cloud-netconfig gives the host these addresses again: write CLOUD_NETCONFIG_MANAGE=\"no\" into %s.", file)
	}
	for _, file := range f.overruled() {
		say("%s comes after %s and says something else of %s: delete that there.", file, cloudInitFile, cloudInitKey)
	}
}

// shown is the path as the host knows it.
func (f hostFiles) shown(file string) string {
	return "/" + strings.TrimPrefix(strings.TrimPrefix(file, filepath.Clean(f.root)), "/")
}

var addressLike = lazily(`[0-9a-fA-F:.]*[:.][0-9a-fA-F:.]*`)

// addressesIn are those of the text that are for pods, comments left out.
func addressesIn(text string, space ipam.AddressSpace) (list []string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		for _, word := range addressLike().FindAllString(line, -1) {
			if a, err := netip.ParseAddr(word); err == nil && lists(space, a) && !slices.Contains(list, a.String()) {
				list = append(list, a.String())
			}
		}
	}
	return list
}

// lists says whether the address is for pods.
func lists(space ipam.AddressSpace, a netip.Addr) bool {
	return slices.ContainsFunc(space.Pools, func(p *ipam.Pool) bool { return p.Lists(a) })
}

// cloudNetconfig is SUSE's. It manages an interface unless its file says otherwise; these are the files that do not.
func (f hostFiles) cloudNetconfig(space ipam.AddressSpace) (list []string) {
	there := false
	for _, sign := range []string{"/etc/default/cloud-netconfig", "/usr/lib/cloud-netconfig",
		"/usr/libexec/cloud-netconfig"} {
		_, err := os.Stat(f.path(sign))
		there = there || err == nil
	}
	for _, p := range space.Pools {
		file := "/etc/sysconfig/network/ifcfg-" + p.Interface
		managed := platform.ReadINI(platform.INI{}, f.path(file))["CLOUD_NETCONFIG_MANAGE"]
		left := len(managed) > 0 && strings.Trim(managed[len(managed)-1], `"'`) == "no"
		if (there || len(managed) > 0) && !left && !slices.Contains(list, file) {
			list = append(list, file)
		}
	}
	return list
}

// overruled are the later files that tell cloud-init the opposite.
func (f hostFiles) overruled() (list []string) {
	files, _ := filepath.Glob(f.path(cloudInitDir + "/*.cfg"))
	opposite := regexp.MustCompile(`(?mi)^[^#\n]*` + cloudInitKey + `['"]?\s*:\s*(true|yes|on)\b`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && filepath.Base(file) > filepath.Base(cloudInitFile) && opposite.Match(text) {
			list = append(list, f.shown(file))
		}
	}
	return list
}
