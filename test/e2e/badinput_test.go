//go:build linux

package e2e

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/ipam/ipamtest"
	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/node"
)

// badCase is an ADD that must fail: with the code, naming what is wrong, leaving nothing.
type badCase struct {
	fields map[string]any                           // of the configuration
	raw    string                                   // instead of a configuration
	call   func(l *lab, n *node.Node, c *node.Call) // changes the call
	before func(l *lab, n *node.Node)
	code   uint
	names  string // what the message or its details must name
}

func badCases() map[string]badCase {
	env := func(v ...string) func(*lab, *node.Node, *node.Call) {
		return func(_ *lab, _ *node.Node, c *node.Call) { c.Env = v }
	}
	agent := func(f ipamtest.Fault) func(*lab, *node.Node) {
		return func(_ *lab, n *node.Node) { n.VM.Agent.SetFault(f) }
	}
	mounts := func(script string) func(*lab, *node.Node) {
		return func(_ *lab, n *node.Node) { n.Mounts = strings.ReplaceAll(script, "DIR", n.DataDir()) }
	}
	ipamConf := func(k string, v any) map[string]any {
		return map[string]any{"ipam": map[string]any{"type": "azure-vnet-ipam", k: v}}
	}
	return map[string]badCase{
		"no configuration":        {raw: " ", code: 6},
		"broken JSON":             {raw: `{"cniVersion":"1.0.0","name":`, code: 6},
		"JSON that is no object":  {raw: `[1]`, code: 6},
		"missing name":            {fields: map[string]any{"name": nil}, code: 7, names: "name"},
		"invalid name":            {fields: map[string]any{"name": "a/b"}, code: 7, names: "a/b"},
		"unknown mode":            {fields: map[string]any{"mode": "overlay"}, code: 2, names: "mode=overlay"},
		"mode of a wrong type":    {fields: map[string]any{"mode": 5}, code: 7, names: "mode"},
		"unknown version":         {fields: map[string]any{"cniVersion": "9.9.9"}, code: 1},
		"unreadable version":      {fields: map[string]any{"cniVersion": "new"}, code: 1},
		"log level":               {fields: map[string]any{"logLevel": "loud"}, code: 7, names: "logLevel=loud"},
		"relative log file":       {fields: map[string]any{"logFile": "a.log"}, code: 7, names: "logFile=a.log"},
		"relative data folder":    {fields: map[string]any{"dataDir": "run"}, code: 7, names: "dataDir=run"},
		"bridge name too long":    {fields: map[string]any{"bridge": "azure-bridge-too-long"}, code: 7, names: "bridge"},
		"bridge name with a path": {fields: map[string]any{"bridge": "../x"}, code: 7, names: "bridge=../x"},
		"MTU too small":           {fields: map[string]any{"mtu": 100}, code: 7, names: "mtu=100"},
		"MTU above the master's":  {fields: map[string]any{"mtu": 9000}, code: 2, names: "9000"},
		"multitenancy":            {fields: map[string]any{"multiTenancy": true}, code: 2, names: "multiTenancy=true"},
		"no IPAM":                 {fields: map[string]any{"ipam": nil}, code: 7, names: "ipam.type"},
		"IPAM plugin that is not": {fields: map[string]any{"ipam": map[string]any{"type": "no-such-ipam"}}, code: 7, names: "no-such-ipam"},
		"environment":             {fields: ipamConf("environment", "moon"), code: 2, names: "ipam.environment=moon"},
		"subnet":                  {fields: ipamConf("subnet", "10.240"), code: 7, names: "ipam.subnet=10.240"},
		"subnet of somebody else": {fields: ipamConf("subnet", "10.99.0.0/16"), code: 101, names: "10.99.0.0/16"},
		"our own name for IPAM's": {fields: map[string]any{"ipam": map[string]any{"type": "azure-vnet"}}, code: 7,
			names: "azure-vnet-ipam is meant"},
		"status when full":   {fields: ipamConf("statusWhenFull", "maybe"), code: 7, names: "ipam.statusWhenFull=maybe"},
		"query interval":     {fields: ipamConf("queryInterval", "soon"), code: 7, names: "ipam.queryInterval=soon"},
		"master that is not": {fields: map[string]any{"master": "eth9"}, code: 102, names: "eth9"},
		"master is loopback": {fields: map[string]any{"master": "lo"}, code: 102, names: "lo"},
		"CNI_ARGS":           {call: func(_ *lab, _ *node.Node, c *node.Call) { c.Args = "nonsense" }, code: 4, names: "nonsense"},

		"no CNI_CONTAINERID":      {call: env("CNI_CONTAINERID="), code: 4, names: "CNI_CONTAINERID"},
		"no CNI_NETNS":            {call: env("CNI_NETNS="), code: 4, names: "CNI_NETNS"},
		"no CNI_IFNAME":           {call: env("CNI_IFNAME="), code: 4, names: "CNI_IFNAME"},
		"no CNI_PATH":             {call: env("CNI_PATH="), code: 4, names: "CNI_PATH"},
		"unknown CNI_COMMAND":     {call: env("CNI_COMMAND=JUMP"), code: 4, names: "JUMP"},
		"invalid container ID":    {call: env("CNI_CONTAINERID=a b"), code: 4, names: "a b"},
		"interface name too long": {call: env("CNI_IFNAME=interface-name-too-long"), code: 4, names: "interface"},
		"interface name of all":   {call: env("CNI_IFNAME=all"), code: 4, names: "CNI_IFNAME=all"},
		"interface name pattern":  {call: env("CNI_IFNAME=eth%d"), code: 4, names: "eth%d"},
		"container ID too long":   {call: env("CNI_CONTAINERID=" + strings.Repeat("c", 256)), code: 4, names: "CNI_CONTAINERID has 256"},
		"namespace that is not":   {call: env("CNI_NETNS=/var/run/netns/never-was"), code: 8, names: "never-was"},
		"namespace is a file":     {call: env("CNI_NETNS=/etc/passwd"), code: 8, names: "/etc/passwd"},
		"namespace is the host's": {call: func(_ *lab, n *node.Node, c *node.Call) { c.NetNS = n.VM.Ns.Path() }, code: 8, names: "host"},
		"interface name taken":    {call: env("CNI_IFNAME=lo"), code: 103, names: "lo"},

		"host agent down":            {before: agent(ipamtest.Fault{Hangup: true}), code: 11, names: "host agent"},
		"host agent answers 500":     {before: agent(ipamtest.Fault{Status: 500}), code: 11, names: "500"},
		"host agent redirects":       {before: agent(ipamtest.Fault{Redirect: "http://10.241.0.1/"}), code: 11, names: "302"},
		"host agent answers garbage": {before: agent(ipamtest.Fault{Body: new("<html>not what you want")}), code: 11, names: "XML"},
		"host agent answers 10 MB":   {before: agent(ipamtest.Fault{HugeBytes: 10 << 20}), code: 11, names: "larger"},
		"host agent answers late":    {before: agent(ipamtest.Fault{Delay: 30 * time.Second}), code: 11, names: "deadline"},
		"host agent lists nothing":   {before: func(_ *lab, n *node.Node) { n.VM.Agent.SetInterfaces() }, code: 11, names: "lists no NIC"},

		"state folder is not there": {fields: map[string]any{"dataDir": "/no/such/folder"}, code: 5, names: "/no/such/folder"},
		"state folder is read-only": {before: mounts("mount --bind DIR DIR && mount -o remount,ro,bind DIR"), code: 5, names: "/run"},
		"disk is full": {before: mounts("mount -t tmpfs -o size=4k tmpfs DIR && head -c 4096 /dev/zero > DIR/ballast"), code: 5,
			names: "/run"},
		"log folder is not writable": {fields: map[string]any{"logFile": "/proc/azure.log", "mode": "overlay"}, code: 2},
	}
}

func TestBadInputIsNamedAndLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range badCases() {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 3))
			n := l.nodes[0]
			before := l.hostConf(n)
			if c.before != nil {
				c.before(l, n)
			}
			ns, err := n.VM.NewPod("pod")
			l.must(err)
			call := node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: "c0", NetNS: ns.Path(), IfName: "eth0", Conf: l.conf(n, c.fields)}
			if c.raw != "" {
				call.Conf = []byte(c.raw)
			}
			if c.call != nil {
				c.call(l, n, &call)
			}
			e := l.wantError(l.exec(n, call), c.code)
			if !strings.Contains(e.Msg+e.Details, c.names) {
				t.Errorf("%q is not named in %q; %q", c.names, e.Msg, e.Details)
			}
			n.Mounts = ""
			if left := l.leftovers(n); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if after := l.hostConf(n); after != before {
				t.Errorf("the host's configuration was\n%s\nand is\n%s", before, after)
			}
			l.reach("host", n.VM.Ns, "gateway", gateway, 64)
		})
	}
}

// STATUS says that an ADD could not write its state: in a folder that is read-only, full, or out of inodes.
func TestStatusTriesToWrite(t *testing.T) {
	t.Parallel()
	for name, mount := range map[string]string{
		"read-only": "mount --bind DIR DIR && mount -o remount,ro,bind DIR",
		"full":      "mount -t tmpfs -o size=16k tmpfs DIR && cp DIR-copy/* DIR && { head -c 65536 /dev/zero > DIR/ballast || :; }",
		"no inodes": "mount -t tmpfs -o nr_inodes=16 tmpfs DIR && cp DIR-copy/* DIR && { touch $(seq -f DIR/%g 20) 2>/dev/null || :; }",
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, fabric.Default(1, 3))
			n := l.nodes[0]
			l.add(n, l.list(n, nil))
			l.run(n, "cp -a "+n.DataDir()+" "+n.DataDir()+"-copy")
			for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
				status := node.Call{Plugin: plugin, Command: "STATUS", Conf: l.conf(n, nil)}
				l.wantSuccess(l.exec(n, status))
				n.Mounts = strings.ReplaceAll(mount, "DIR", n.DataDir())
				if e := l.wantError(l.exec(n, status), 50); !strings.Contains(e.Msg, "could not be written") {
					t.Errorf("%s says %q", plugin, e.Msg)
				}
				n.Mounts = ""
			}
		})
	}
}

func TestExhaustedPool(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	list := l.list(n, nil)
	pods := []*node.Pod{l.add(n, list), l.add(n, list), l.add(n, list)}
	ns, err := n.VM.NewPod("pod")
	l.must(err)
	call := node.Call{Plugin: "azure-vnet", Command: "ADD", ContainerID: "c3", NetNS: ns.Path(), IfName: "eth0", Conf: l.conf(n, nil)}
	e := l.wantError(l.exec(n, call), 100)
	for _, want := range []string{"10.240.0.0/16", "3 addresses", "3 in use"} {
		if !strings.Contains(e.Msg, want) {
			t.Errorf("%q is missing in %q", want, e.Msg)
		}
	}
	l.wantSuccess(l.exec(n, node.Call{Plugin: "azure-vnet", Command: "STATUS", Conf: l.conf(n, nil)}))
	strict := map[string]any{"ipam": map[string]string{"type": "azure-vnet-ipam", "statusWhenFull": "error"}}
	status := node.Call{Plugin: "azure-vnet", Command: "STATUS", Conf: l.conf(n, strict)}
	if e := l.wantError(l.exec(n, status), 50); !strings.Contains(e.Msg, "no free address") {
		t.Errorf("STATUS says %q", e.Msg)
	}
	l.must(pods[1].Del(l.ctx))
	l.wantSuccess(l.exec(n, status))
	l.wantSuccess(l.exec(n, call))
	for _, p := range []*node.Pod{pods[0], pods[2]} {
		l.reach("pod", p.NS, "gateway", gateway, 64)
	}
}

// Addresses that are known serve while the host agent is down.
func TestKnownAddressesServeWithoutTheHostAgent(t *testing.T) {
	l := newLab(t, fabric.Default(1, 3))
	n := l.nodes[0]
	list := l.list(n, nil)
	l.add(n, list)
	n.VM.Agent.SetFault(ipamtest.Fault{Hangup: true})
	queries := n.VM.Agent.Queries()
	l.add(n, list)
	l.add(n, list)
	if q := n.VM.Agent.Queries(); q != queries {
		t.Errorf("the host agent was asked %d times although free addresses were known", q-queries)
	}
}

// Without CNI_COMMAND a person is served; nobody can take it for a success of a command.
func TestWithoutCommand(t *testing.T) {
	l := newLab(t, fabric.Default(1, 1))
	n := l.nodes[0]
	for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
		for _, c := range []struct {
			args []string
			exit int
			out  string
		}{
			{nil, 2, ""},
			{[]string{"--version"}, 0, plugin + " "},
			{[]string{"--help"}, 0, "Usage:"},
			{[]string{"show", "--data-dir", n.DataDir()}, 0, "There is no "},
			{[]string{"show", "--help"}, 0, "Options:"},
			{[]string{"show", "-o", "yaml"}, 2, ""},
			{[]string{"dance"}, 2, ""},
		} {
			r, err := n.Operator(l.ctx, plugin, c.args...)
			l.must(err)
			if r.Exit != c.exit || !strings.Contains(string(r.Stdout), c.out) || c.exit != 0 && (len(r.Stdout) > 0 || len(r.Stderr) == 0) {
				t.Errorf("%s %v: exit %d, %q, %q", plugin, c.args, r.Exit, r.Stdout, r.Stderr)
			}
		}
	}
	if _, err := os.Stat(n.DataDir() + "/azure-vnet.json"); !os.IsNotExist(err) {
		t.Errorf("a question changed something: %v", err)
	}
}
