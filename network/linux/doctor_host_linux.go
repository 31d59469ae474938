package linux

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/netlink"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/linux/settings"
	"github.com/Azure/azure-container-networking/nft"
	"github.com/Azure/azure-container-networking/platform"
)

// examineKernel says whether the kernel has what the networks' modes need.
func examineKernel(k *kernel, networks []*view) []finding.Finding {
	var wrong []finding.Finding
	found, _ := bridged{}.supported(k) // of a host without networks
	for _, n := range networks {
		has, need := n.mode.supported(k)
		found = has
		if need != nil {
			remedy := "use a kernel with CONFIG_NF_TABLES_BRIDGE, or with CONFIG_NF_TABLES_NETDEV and " +
				"CONFIG_NETFILTER_EGRESS; or \"mode\": \"transparent\""
			if errors.Is(need, nft.ErrNoTables) {
				need, remedy = nft.ErrNoTables, "modprobe nf_tables; or install the package with the kernel's further modules"
			}
			wrong = append(wrong, finding.Finding{Level: finding.Failure,
				Found: fmt.Sprintf("network %s (%s): %v", n.Name, n.Mode, need), Remedy: remedy})
		}
	}
	links, _ := k.nl.Links()
	if release, err := platform.Sysctl("kernel", "osrelease"); err == nil && lacksVeth(links, "/lib/modules/"+release) {
		wrong = append(wrong, finding.Finding{Level: finding.Failure,
			Found:  "kernel " + release + " has no veth, neither built in nor as a module",
			Remedy: "modprobe veth; or install the package with the kernel's further modules"})
	}
	return finding.Report("kernel", found, wrong)
}

// lacksVeth says that the kernel has no veths, if that can be known without making one: there is none yet, and neither
// the modules of this kernel (their folder) nor what is built in have them.
func lacksVeth(links []netlink.Link, modules string) bool {
	if slices.ContainsFunc(links, func(l netlink.Link) bool { return l.Kind == "veth" }) {
		return false
	}
	for _, list := range []string{"modules.builtin", "modules.dep"} {
		text, err := os.ReadFile(filepath.Join(modules, list))
		if err != nil || strings.Contains(string(text), "/veth.ko") {
			return false // there, or nobody can tell
		}
	}
	return true
}

// examineForwarding: the host routes host ports, services, and in transparent mode everything.
func examineForwarding(networks []*view) []finding.Finding {
	var wrong []finding.Finding
	off := func(path ...string) {
		value, err := platform.Sysctl(path...)
		name := strings.Join(path, ".")
		if err == nil && value == "1" ||
			slices.ContainsFunc(wrong, func(f finding.Finding) bool { return strings.HasPrefix(f.Found, name) }) {
			return
		}
		wrong = append(wrong, finding.Finding{Level: finding.Failure,
			Found:  name + " is off: the host forwards nothing to pods, nor from them",
			Remedy: "sysctl -w " + name + "=1; and see that no file in /etc/sysctl.d switches it off"})
	}
	for _, n := range networks {
		if !n.Made() {
			continue // the first ADD switches it on
		}
		off("net", "ipv4", "ip_forward")
		v6 := slices.ContainsFunc(addrsOf(n.Prefixes), netip.Addr.Is6)
		if v6 && (n.mode.routes() || n.IPMasq || len(n.IPsToRouteViaHost) > 0) {
			off("net", "ipv6", "conf", "all", "forwarding")
		}
	}
	return finding.Report("ip-forward", "the host forwards what it has to", wrong)
}

// examineFirewall looks for chains that drop what the host forwards for pods.
func examineFirewall(k *kernel, networks []*view) []finding.Finding {
	var wrong []finding.Finding
	seen := map[nft.Scope]bool{}
	for _, n := range networks {
		s := n.scope()
		if seen[s] || s.Name == "" {
			continue
		}
		seen[s] = true
		blocks, err := k.nft.Blocks(s)
		if err != nil {
			wrong = append(wrong, finding.Finding{Level: finding.Warning, Found: err.Error(), Remedy: "run doctor as root"})
		}
		level, what, pattern := finding.Warning,
			"what the host routes for pods of "+s.Name+" (host ports, services) is dropped", s.Name
		if missing, _ := bridgedNATMissing(); s.Routed() || missing == "" || n.IPMasq || len(n.IPsToRouteViaHost) > 0 {
			level = finding.Failure
		}
		if s.Routed() {
			what, pattern = "what pods send and get is dropped", azure.HostVethPrefix+"*"
		}
		for _, b := range blocks {
			remedy := fmt.Sprintf("nft insert rule %s %s %s iifname %q accept; nft insert rule %s %s %s oifname %q accept",
				b.Family, b.Table, b.Chain, pattern, b.Family, b.Table, b.Chain, pattern)
			if b.Policy {
				remedy += "; or \"acceptForward\": true in the configuration, and a new pod"
			}
			wrong = append(wrong, finding.Finding{Level: level,
				Found: fmt.Sprintf("chain %s of table %s %s: %s", b.Chain, b.Family, b.Table, what), Remedy: remedy})
		}
	}
	wrong = append(wrong, examineInput(k, networks)...)
	legacy, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
	if tables := strings.Fields(string(legacy)); err == nil && slices.Contains(tables, "filter") {
		wrong = append(wrong, finding.Finding{Level: finding.Warning,
			Found: "legacy iptables are in use (tables " + strings.Join(tables, ", ") +
				"), which cannot be seen here: a FORWARD chain of theirs may drop what pods send",
			Remedy: "look at iptables-legacy -S FORWARD; use iptables-nft for all that this node runs (update-alternatives " +
				"--set iptables /usr/sbin/iptables-nft), and reboot"})
	}
	return finding.Report("firewall", "no chain at the forward hook drops what the host routes for pods", wrong)
}

// examineInput looks for rules about the master that should be about its bridge.
func examineInput(k *kernel, networks []*view) (wrong []finding.Finding) {
	seen := map[string]bool{}
	for _, n := range networks {
		if n.mode.routes() || n.Master == "" || seen[n.Master] {
			continue
		}
		seen[n.Master] = true
		chains, err := k.nft.ShutOut(n.Master, n.Bridge)
		if err != nil {
			wrong = append(wrong, finding.Finding{Level: finding.Warning, Found: err.Error(), Remedy: "run doctor as root"})
		}
		bridge := cmp.Or(n.Bridge, "azure+")
		for _, b := range chains {
			at := fmt.Sprintf("%s %s %s", b.Family, b.Table, b.Chain)
			wrong = append(wrong, finding.Finding{Level: finding.Failure,
				Found: fmt.Sprintf("chain %s of table %s %s lets in what comes by %s, and drops the rest: with the bridge it "+
					"comes by %s", b.Chain, b.Family, b.Table, n.Master, bridge),
				Remedy: fmt.Sprintf("nft insert rule %s iifname %q accept; or have each rule for %s for %s, too (nft list chain "+
					"%s); or \"mode\": \"transparent\"", at, strings.Replace(bridge, "+", "*", 1), n.Master, bridge, at)})
		}
	}
	return wrong
}

// examineMasquerade says who gives what pods send to the internet an address that Azure translates: it does so for the
// host's, and not for those of pods. That nobody on the host does is right behind a NAT gateway, and for pods that need
// no internet.
func examineMasquerade(k *kernel, networks []*view) []finding.Finding {
	if len(networks) == 0 {
		return finding.Report("masquerade", "there is no network yet", nil)
	}
	masquerades, err := k.nft.Masquerades()
	own := !slices.ContainsFunc(networks, func(n *view) bool { return !n.IPMasq })
	found := "what pods send out of the VNET leaves behind the host's address"
	switch {
	case own, err == nil && masquerades:
	case err != nil:
		return finding.Report("masquerade", "",
			[]finding.Finding{{Level: finding.Warning, Found: err.Error(), Remedy: "run doctor as root"}})
	default:
		found = "nobody on this host masquerades: pods reach the internet only behind a NAT gateway (else: \"ipMasq\" and " +
			"\"vnetCidrs\", or ip-masq-agent)"
	}
	return finding.Report("masquerade", found, nil)
}

// examineServices: kube-proxy's NAT, portmap's and others' rules see bridged packets only with br_netfilter.
func examineServices(networks []*view) []finding.Finding {
	var wrong []finding.Finding
	found, remedy := bridgedNATMissing()
	for _, n := range networks {
		if found != "" && !n.mode.routes() {
			wrong = append(wrong, finding.Finding{Level: finding.Failure, Remedy: remedy,
				Found: found + ": services, host ports, network policies and ip-masq-agent do not see what pods of network " +
					n.Name + " send and get"})
		}
	}
	return finding.Report("services", "bridged packets pass the host's NAT where they have to", wrong)
}

// bridgedNATMissing says what is missing so that bridged packets pass the host's NAT, and what helps; "" if nothing is.
func bridgedNATMissing() (found, remedy string) {
	for _, name := range settings.BridgedNATs {
		switch value, err := platform.Sysctl("net", "bridge", name); {
		case err != nil:
			return "the module br_netfilter is not loaded",
				"modprobe br_netfilter; echo br_netfilter > /etc/modules-load.d/br_netfilter.conf; " + network.RepairCommand
		case value != "1":
			return "net.bridge." + name + " is " + value, "sysctl -w net.bridge." + name +
				"=1, and look in /etc/sysctl.d for who switches it off"
		}
	}
	return "", ""
}

// legacyEbtables says whether the old kind of ebtables is in use. Its rules show nowhere but to its own tool.
func legacyEbtables() bool {
	_, err := os.Stat("/sys/module/ebtable_nat")
	return err == nil
}

// examineOthers looks for what other plugins left.
func examineOthers(k *kernel) []finding.Finding {
	var wrong []finding.Finding
	count, err := k.nft.ClassicRules()
	if err != nil {
		wrong = append(wrong, finding.Finding{Level: finding.Warning, Found: err.Error(), Remedy: "run doctor as root"})
	}
	if count > 0 {
		wrong = append(wrong, finding.Finding{Level: finding.Warning,
			Found: fmt.Sprintf("table bridge nat has %d rules that rewrite MACs, as the classic plugin's ebtables rules do",
				count),
			Remedy: "ebtables-nft -t nat -L shows them; when no pod of the classic plugin is left: ebtables-nft -t nat -F"})
	}
	if legacyEbtables() {
		wrong = append(wrong, finding.Finding{Level: finding.Warning,
			Found: "legacy ebtables are in use (module ebtable_nat), which cannot be seen here: rules of the classic plugin " +
				"stay in force beside ours, which have the last word",
			Remedy: "ebtables-legacy -t nat -L shows them; when no pod of the classic plugin is left: ebtables-legacy -t nat " +
				"-F, and rmmod ebtable_nat"})
	}
	return finding.Report("other-plugins", "no rules of the classic plugin", wrong)
}
