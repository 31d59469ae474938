package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// kernel is a guest: a kernel, and what is run on it.
type kernel struct {
	name   string // as in make test-kernels KERNEL=name
	series string // whose package it is, and the folder where setup unpacked it
	azl3   bool   // without what Azure Linux 3's kernel lacks
	runs   []run
	// not says which of the tests are not run, as a pattern for go test -skip, and why.
	not map[string]string
	// lacks says what else is not run, and why.
	lacks string
}

// run is one start of a test binary.
type run struct {
	name    string
	binary  string // e2e.test or fabric.test
	plugins string // folder in the guest
	family  string // of nftables, that the plugin is to find
	tests   []string
}

// subset is what runs of test/e2e: every promise about frames and rules, in each mode, and what needs a host's
// addresses moved. Left out is what does not depend on the kernel (files, IPAM, messages, the state), what counts or
// times system calls, what needs a daemon (NetworkManager, networkd, resolved), and more than a hundred processes at
// once, whose deadlines a processor that is played does not keep (TestBurst, TestTwoHundredAndFiftyPods). Each is a
// pattern for go test -run, and has to match something.
var subset = []string{
	"TestEverythingReachesEverything/dual",
	"TestAddressWithoutPodDoesNotLoop",
	"TestPeersOfAPodThatIsGone",
	"TestServices/(bridge|tunnel|transparent)_.*_$", // pods in the nodes' subnet; by iptables and nft, IPv4 and IPv6
	"TestHostPorts",
	"TestHostilePod",
	"TestWhatAPodMustNotSayToItsHost",
	"TestTheHostAgentIsClosedByServices",
	"TestNothingIsEchoed",
	"TestMasquerade",
	"TestAcceptForward",
	"TestBrNetfilterIsSwitchedOn",
	"TestWithoutBrNetfilter",
	"TestTheHostsOtherAddresses",
	"TestAddressesThatComeLater",
	"TestRepair",
	"TestADeletedBridgeIsRepairedByTheNextAdd",
	"TestCleanupRestoresTheHost",
	"TestTakeOverFromTheClassicPlugin/.*/.*_by_ADD",
	"TestDoctorOnAHealthyNode",
}

var (
	simulator = run{name: "the fabric itself", binary: "fabric.test", tests: []string{"Test.*"}}
	bridge    = run{name: "bridge family", binary: "e2e.test", plugins: "/plugins", family: "bridge", tests: subset}
	// As on a kernel without the bridge family, by a build that does not ask for it.
	netdev = run{name: "netdev family", binary: "e2e.test", plugins: "/plugins-netdev", family: "netdev", tests: subset}
	// The plugin that everybody has, which has to find out.
	found = run{name: "netdev family, found by the plugin itself", binary: "e2e.test", plugins: "/plugins", family: "netdev", tests: subset}
)

var kernels = []kernel{
	{name: "5.10", series: "5.10", runs: []run{simulator, bridge}, lacks: "netdev family: egress hooks came with 5.16"},
	{name: "6.1", series: "6.1", runs: []run{simulator, bridge, netdev}},
	{name: "6.12", series: "6.12", runs: []run{simulator, bridge, netdev}},
	{name: "azl3", series: "6.1", azl3: true, runs: []run{simulator, found}, lacks: "bridge family: it has none", not: map[string]string{
		"Test(NICWorksAsBridgePort|HairpinThroughBridgePort|NICCountsForeignMACsThatABridgeLetsOut|TCPBetweenPodsOfTwoVMs)": "the test's own bridge has rules of the bridge family",
		"TestServices/nft_IPv6=true": "kube-proxy's rules of nftables ask for the route (fib), which this kernel cannot do for IPv6; it " +
			"runs with iptables there",
		"TestHostPorts/nftables":           "portmap's rules of nftables do the same; its other backend runs",
		"TestTakeOverFromTheClassicPlugin": "the classic plugin's rules are made by ebtables-nft, which needs the bridge family",
	}},
}

// chosen are the kernels of a name; all of them for "".
func chosen(name string) []kernel {
	return slices.DeleteFunc(slices.Clone(kernels), func(k kernel) bool { return name != "" && k.name != name })
}

var testFunc = regexp.MustCompile(`(?m)^func (Test[A-Z]\w*)\(t `)

// leftOut are the tests of a package's folder of which nothing is in the subset.
func leftOut(dir string) (names []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range testFunc.FindAllStringSubmatch(string(text), -1) {
			in := func(pattern string) bool {
				test, _, _ := strings.Cut(pattern, "/")
				return matches(test, m[1])
			}
			if !slices.ContainsFunc(subset, in) {
				names = append(names, m[1])
			}
		}
	}
	slices.Sort(names)
	return names, nil
}
