//go:build linux && wine

package windows

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/hnssim"
	"github.com/Azure/azure-container-networking/test/node"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/google/go-cmp/cmp"
)

const (
	setarch    = "/usr/bin/setarch"
	wine       = "/usr/lib/wine/wine64"
	wineserver = "/usr/lib/wine/wineserver64"
	// binDir is where Kubernetes nodes of Azure have the plugins.
	binDir = `C:\k\azurecni\bin`
)

// recording, if there is one, is what selftest has printed on a Windows that HNS is to be like.
var recording = os.Getenv("HNS_FACTS")

// The Makefile says where these are.
var binaries, prefix, gocni = os.Getenv("AZURE_CNI_WINDOWS_BIN"), os.Getenv("WINE_PREFIX"), os.Getenv("GOCNI_BIN")

func TestMain(m *testing.M) {
	for _, file := range []string{filepath.Join(binaries, "azure-vnet.exe"), filepath.Join(binaries, "azure-vnet-ipam.exe"),
		filepath.Join(binaries, "azure-vnet-install.exe"), filepath.Join(prefix, "drive_c"), gocni} {
		if _, err := os.Stat(file); err != nil {
			fmt.Fprintf(os.Stderr, "test/windows: %v; run \"make test-windows\"\n", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// host is a VM with Windows: Wine in the VM's network namespace, HNS, and the plugins.
type host struct {
	*testing.T
	ctx    context.Context
	vm     *fabric.VM
	node   *node.Node
	hns    *hnssim.Server
	prefix string // of Wine: this host's disk
	bin    string // the launchers
}

// options describe a host.
type options struct {
	fabric fabric.Config
	hns    hnssim.Options
	alone  bool // while no other test runs
}

func newHost(t *testing.T, o options) *host {
	t.Helper()
	if !o.alone {
		t.Parallel()
	}
	if o.fabric.VMs == nil {
		o.fabric = fabric.Default(1, 20)
	}
	if recording != "" && o.hns.Facts.Answers == nil {
		var err error
		if o.hns.Facts, err = hnssim.ReadFacts(recording); err != nil {
			t.Fatal(err)
		}
	}
	if o.hns.Adapters == nil {
		o.hns.Adapters = []string{"eth0"}
	}
	f := fabric.Start(t, o.fabric)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute) // whose end kills what runs: exit code -1
	t.Cleanup(cancel)
	h := &host{T: t, ctx: ctx, vm: f.VMs[0], bin: t.TempDir()}
	var err error
	h.node, err = node.New(h.vm, t.TempDir(), h.bin)
	h.must(err)

	l, err := h.vm.Ns.Listen("tcp4", "127.0.0.1:0")
	h.must(err)
	h.hns = hnssim.Serve(l, o.hns)
	t.Cleanup(func() { h.must(h.hns.Close()) })

	// Beside the prefix, because it is cloned with hard links.
	h.prefix, err = os.MkdirTemp(filepath.Dir(prefix), "e2e.")
	h.must(err)
	t.Cleanup(func() { h.must(os.RemoveAll(h.prefix)) })
	out, err := exec.Command("cp", "-al", prefix+"/.", h.prefix).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// But not the registry: wineserver writes files of several links in place, into all clones at once and into the
	// prefix.
	registry, err := filepath.Glob(filepath.Join(prefix, "*.reg"))
	h.must(err)
	if out, err = exec.Command("cp", append(append([]string{"--remove-destination"}, registry...),
		h.prefix)...).CombinedOutput(); err != nil || len(registry) == 0 {
		t.Fatalf("%v: %s", err, out)
	}
	bin := h.path(binDir)
	h.must(os.MkdirAll(bin, 0o755))
	for _, plugin := range []string{"azure-vnet", "azure-vnet-ipam"} {
		h.must(os.Link(filepath.Join(binaries, plugin+".exe"), filepath.Join(bin, plugin+".exe")))
		h.launcher(plugin)
	}
	t.Cleanup(h.explain)
	h.boot()
	t.Cleanup(func() { h.shutDown(); h.sweep() })
	return h
}

// launcher makes what a runtime executes in place of a Windows program. It loads Wine where it always is: see
// test/wine/run.sh.
func (h *host) launcher(plugin string) {
	h.Helper()
	script := fmt.Sprintf("#!/bin/sh\nexport HOME='%s' WINEPREFIX='%s' WINEDEBUG=-all %s CNI_PATH='%s'\nexec %s -R %s '%s\\%s.exe' \"$@\"\n",
		h.prefix, h.prefix, h.hns.Env(), binDir, setarch, wine, binDir, plugin)
	h.must(os.WriteFile(filepath.Join(h.bin, plugin), []byte(script), 0o755))
}

func (h *host) env() []string {
	return []string{"HOME=" + h.prefix, "WINEPREFIX=" + h.prefix, "WINEDEBUG=-all", "PATH=/usr/bin:/bin"}
}

// boot starts Windows: the boot time is that of wineserver.
func (h *host) boot() {
	h.Helper()
	// It returns when it is ready; a program that comes earlier would start another one. It ends by itself when this
	// process did not come to that: it stays for so many seconds after the last program.
	h.wineserver("-p300")
	// The first program starts Windows' services, which keep its streams.
	first := h.vm.Ns.Command(h.ctx, setarch, "-R", wine, "cmd", "/c", "exit")
	first.Env = h.env()
	h.must(first.Run())
	for !h.adaptersShow() {
		h.must(h.ctx.Err())
	}
	h.hns.Forget()
}

// adaptersShow says whether Windows is so far that a program is told the adapters: the driver that knows them comes up
// on its own time. STATUS asks, with files apart from those of the tests.
func (h *host) adaptersShow() bool {
	h.Helper()
	const apart = `C:\windows\temp`
	conf := h.conf(map[string]any{"cniVersion": "1.1.0", "master": h.vm.Config.PrimaryNIC().Name, "dataDir": apart,
		"logFile": apart + `\boot.log`})
	return h.call("STATUS", "", "", conf).Exit == 0
}

// shutDown ends all Windows programs.
func (h *host) shutDown() {
	h.Helper()
	h.wineserver("-k")
	h.wineserver("-w")
}

func (h *host) wineserver(option string) {
	h.Helper()
	cmd := h.vm.Ns.Command(h.ctx, wineserver, option)
	cmd.Env = h.env()
	if err := cmd.Run(); err != nil {
		h.Errorf("wineserver %s: %v", option, err)
	}
}

// sweep ends what is left of Wine's own processes when its server ended in another way than by shutDown.
func (h *host) sweep() {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range environs {
		env, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(env, []byte("WINEPREFIX="+h.prefix+"\x00")) {
			continue // another's, or gone
		}
		var pid int
		if _, err := fmt.Sscanf(file, "/proc/%d/environ", &pid); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may end by itself just now
		}
	}
}

// explain shows what a person would look at after a failure.
func (h *host) explain() {
	if !h.Failed() {
		return
	}
	for _, c := range h.hns.Calls() {
		h.Logf("HNS: %s %s %s %s %.400s -> %08X %s", c.API, c.Op, c.Kind, c.ID, c.Body, c.Code, c.Why)
	}
	for _, file := range []string{`C:\k\azure-vnet.log`, `C:\k\azure-vnet-ipam.log`, `C:\k\azure-vnet.json`} {
		b, _ := os.ReadFile(h.path(file))
		h.Logf("%s:\n%s", file, b[max(0, len(b)-12000):])
	}
}

// path is where a file of Windows is for us.
func (h *host) path(file string) string {
	return filepath.Join(h.prefix, "drive_c", strings.ReplaceAll(strings.TrimPrefix(file, `C:\`), `\`, "/"))
}

func (h *host) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// conf is the shipped conflist's plugin with a log of details. Fields overwrite what it has; a nil value removes.
func (h *host) conf(fields map[string]any) map[string]any {
	h.Helper()
	raw, err := os.ReadFile("../../cni/conf/10-azure-windows.conflist")
	h.must(err)
	var list struct {
		CNIVersion, Name string
		Plugins          []map[string]any
	}
	h.must(json.Unmarshal(raw, &list))
	conf := list.Plugins[0]
	conf["cniVersion"], conf["name"], conf["logLevel"] = "1.0.0", list.Name, "debug"
	maps.Copy(conf, fields)
	maps.DeleteFunc(conf, func(_ string, v any) bool { return v == nil })
	return conf
}

func (h *host) json(v any) []byte {
	h.Helper()
	b, err := json.Marshal(v)
	h.must(err)
	return b
}

// id is a container ID as runtimes make them.
func id(n int) string { return fmt.Sprintf("%08x%056x", n, 0xc0ffee) }

// call executes azure-vnet.exe by hand.
func (h *host) call(command, containerID, netns string, conf map[string]any, env ...string) node.Reply {
	h.Helper()
	r, err := h.node.Exec(h.ctx, node.Call{
		Plugin: "azure-vnet", Command: command, ContainerID: containerID, NetNS: netns, IfName: "eth0", Conf: h.json(conf), Env: env,
		Args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web",
	})
	h.must(err)
	return r
}

func (h *host) wantResult(r node.Reply) *types100.Result {
	h.Helper()
	if r.Exit != 0 {
		h.Fatalf("exit %d: %s %s", r.Exit, r.Stdout, r.Stderr)
	}
	result := &types100.Result{}
	h.must(json.Unmarshal(r.Stdout, result)) // refuses anything behind the first document
	if said := ours(r.Stderr); said != "" {
		h.Errorf("standard error: %s", said)
	}
	return result
}

// ours is what of standard error is not Wine's: a thread of a Go program that asks wineserver for something while the
// program ends lets Wine complain.
func ours(stderr []byte) (said string) {
	for line := range strings.Lines(string(stderr)) {
		if !strings.HasPrefix(line, "wine client error:") && strings.TrimSpace(line) != "" {
			said += line
		}
	}
	return said
}

// wantExit0 is for what prints whatever it likes.
func (h *host) wantExit0(what string, r node.Reply) {
	h.Helper()
	if r.Exit != 0 {
		h.Fatalf("%s: exit %d: %s %s", what, r.Exit, r.Stdout, r.Stderr)
	}
}

func (h *host) wantSuccess(r node.Reply) {
	h.Helper()
	if r.Exit != 0 || len(r.Stdout) > 0 || ours(r.Stderr) != "" {
		h.Fatalf("exit %d: %s %s", r.Exit, r.Stdout, r.Stderr)
	}
}

// wantError requires a failure with one JSON document, the code, and what the message names.
func (h *host) wantError(r node.Reply, code uint, names ...string) {
	h.Helper()
	var e types.Error
	if err := json.Unmarshal(r.Stdout, &e); err != nil || r.Exit == 0 || e.Code != code {
		h.Fatalf("exit %d, code %d instead of %d: %s %s (%v)", r.Exit, e.Code, code, r.Stdout, r.Stderr, err)
	}
	for _, name := range names {
		if !strings.Contains(e.Msg+e.Details, name) {
			h.Errorf("the message does not name %s: %s; %s", name, e.Msg, e.Details)
		}
	}
}

// reservations are the addresses that are given, and to whom.
func (h *host) reservations() map[string]string {
	h.Helper()
	var shown struct {
		Pools []struct {
			Reservations []struct{ Address, ContainerID string }
		}
	}
	h.show("azure-vnet-ipam", &shown)
	out := map[string]string{}
	for _, p := range shown.Pools {
		for _, r := range p.Reservations {
			if out[r.Address] != "" {
				h.Errorf("%s was given twice", r.Address)
			}
			out[r.Address] = r.ContainerID
		}
	}
	return out
}

// endpoints are what the state knows, by container.
func (h *host) endpoints() map[string]string {
	h.Helper()
	var shown struct {
		Networks []struct {
			Endpoints []struct{ ContainerID, State string }
		}
	}
	h.show("azure-vnet", &shown)
	out := map[string]string{}
	for _, n := range shown.Networks {
		for _, e := range n.Endpoints {
			out[e.ContainerID] = e.State
		}
	}
	return out
}

func (h *host) show(plugin string, into any) {
	h.Helper()
	r, err := h.node.Operator(h.ctx, plugin, "show", "-o", "json")
	h.must(err)
	h.wantExit0(plugin+" show", r)
	h.must(json.Unmarshal(r.Stdout, into))
}

// wantNothing requires that no pod has anything: in HNS, in both states.
func (h *host) wantNothing() {
	h.Helper()
	if e := h.hns.Endpoints(); len(e) > 0 {
		h.Errorf("HNS has endpoints: %+v", e)
	}
	if r := h.reservations(); len(r) > 0 {
		h.Errorf("addresses are reserved: %v", r)
	}
	if e := h.endpoints(); len(e) > 0 {
		h.Errorf("the state has endpoints: %v", e)
	}
}

// wantDocument compares what HNS was sent with a golden document; VARIABLES in it are replaced.
func (h *host) wantDocument(op, kind, golden string, variables ...string) {
	h.Helper()
	raw, err := os.ReadFile(filepath.Join("../../network/hns/testdata", golden))
	h.must(err)
	var want, got any
	h.must(json.Unmarshal([]byte(strings.NewReplacer(variables...).Replace(string(raw))), &want))
	for _, c := range h.hns.Calls() {
		if c.Op != op || c.Kind != kind {
			continue
		}
		h.must(json.Unmarshal([]byte(c.Body), &got))
		if diff := cmp.Diff(want, got); diff != "" {
			h.Errorf("%s %s is not %s:\n%s", op, kind, golden, diff)
		}
		return
	}
	h.Errorf("HNS was not asked to %s %s", op, kind)
}

// each runs fn for 0 … n-1, all at once, and returns when the last one has ended.
func each(n int, fn func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	wg.Wait()
}

func address(t *testing.T, r *types100.Result) netip.Prefix {
	t.Helper()
	if len(r.IPs) != 1 || len(r.Interfaces) != 1 || r.Interfaces[0].Name != "eth0" || r.IPs[0].Interface == nil || *r.IPs[0].Interface != 0 {
		t.Fatalf("one address on eth0 is expected: %+v", r)
	}
	return netip.MustParsePrefix(r.IPs[0].Address.String())
}

// goCNI lets containerd's go-cni do something with a pod, and returns its answer. Its cache would be /var/lib/cni.
func (h *host) goCNI(confDir string, args ...string) (out []byte, err error) {
	h.Helper()
	cache := filepath.Join(h.node.Dir, "var-lib")
	h.must(os.MkdirAll(cache, 0o755))
	const script = `mount --make-rprivate / && mount --bind "$0" /var/lib && exec "$@"`
	cmd := h.vm.Ns.Command(h.ctx, "/bin/sh", append([]string{"-c", script, cache, gocni, "-conf", confDir, "-bin", h.bin}, args...)...)
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	cmd.Env = h.env()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return stdout.Bytes(), nil
}

// lines are the records of a log that tell the outcome of a command.
func (h *host) lines(file string) (list []string) {
	h.Helper()
	b, err := os.ReadFile(h.path(file))
	h.must(err)
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "msg=done") || strings.Contains(line, "msg=failed") {
			list = append(list, line)
		}
	}
	return list
}

func dual() fabric.Config { return fabric.DefaultDual(1, 20) }

func upper(s string) string { return strings.ToUpper(s) }
