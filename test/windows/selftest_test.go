//go:build linux && wine

package windows

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/Azure/azure-container-networking/install/selftest"
	"github.com/Azure/azure-container-networking/test/fabric"
	"github.com/Azure/azure-container-networking/test/hnssim"
	"github.com/google/go-cmp/cmp"
)

// installer is azure-vnet-install.exe with arguments, ready to start.
func (h *host) installer(args ...string) *fabric.Cmd {
	h.Helper()
	program := filepath.Join(binaries, "azure-vnet-install.exe")
	cmd := h.vm.Ns.Command(h.ctx, setarch, append([]string{"-R", wine, program}, args...)...)
	cmd.Env = append(h.env(), h.hns.Env())
	return cmd
}

// selftest runs it, and reads what it prints.
func (h *host) selftest(args ...string) (f selftest.Facts) {
	h.Helper()
	cmd := h.installer(append([]string{"selftest"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		h.Fatalf("selftest %v: %v: %s%s", args, err, out, stderrOf(err))
	}
	if len(args) == 0 || args[0] == "after" {
		h.must(json.Unmarshal(out, &f))
	}
	return f
}

func stderrOf(err error) string {
	if e, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as Output returns it
		return string(e.Stderr)
	}
	return ""
}

// The program asks the DLLs, and prints what the simulator was told, whatever that is. Other networks are not touched.
func TestSelftestPrintsWhatTheSimulatorIs(t *testing.T) {
	german := hnssim.Facts()
	no := selftest.Answer{Error: "Die IP-Adresse wird verwendet."}
	german.Answers[selftest.AddressTaken] = selftest.Answers{V1: &no,
		V2: &selftest.Answer{HRESULT: 0x80070057, Error: "Falscher Parameter.", ErrorCode: 0x80070057}}
	german.Answers[selftest.ACLTwice] = selftest.Answers{V1: &selftest.Answer{}, V2: &selftest.Answer{}}
	german.HNS = selftest.Version{Major: 15, Minor: 1}
	german.Capitals.V2, german.EndpointsGo = false, false
	german.V1States = selftest.States{Free: 3, Attached: 7}
	german.Restart, german.Reboot = &selftest.Kept{NetworkV1: true, NetworkV2: true}, &selftest.Kept{NetworkV1: true}
	for name, facts := range map[string]selftest.Facts{"as it is": hnssim.Facts(), "another Windows": german} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, options{hns: hnssim.Options{Facts: facts, Lenient: true}})
			h.added(id(1), h.hns.AddNamespace(), h.conf(nil))
			got := h.selftest()
			want := facts
			want.Windows, want.Restart, want.Reboot, want.Host = "10.0.20348", nil, nil, nil
			if got.Host == nil || len(got.Host.Adapters) == 0 || got.Host.BootID == "" || got.Host.RightsOfK == "" ||
				got.Host.RemoteARPMAC != "12-34-56-78-9a-bc" {
				t.Errorf("the host is %+v", got.Host)
			}
			t.Logf("%s", h.json(got.Host))
			if !strings.Contains(got.IPv6Neighbor, "compartments") { // Wine has none
				t.Errorf("the neighbour: %q", got.IPv6Neighbor)
			}
			got.Host, got.IPv6Neighbor = nil, ""
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-told +printed\n%s", diff)
			}
			h.wantOnlyAzure()
		})
	}
}

func (h *host) wantOnlyAzure() {
	h.Helper()
	if n, e := h.hns.Networks(), h.hns.Endpoints(); len(n) != 1 || len(e) != 1 || n[0].Name != "azure" {
		h.Errorf("HNS has %+v, %+v", n, e)
	}
}

// What a restart of HNS, a reboot, and a new time leave is found out in two steps.
func TestSelftestLooksAgainAfterAnEvent(t *testing.T) {
	facts := hnssim.Facts()
	facts.Restart = &selftest.Kept{NetworkV1: true, NetworkV2: true}
	h := newHost(t, options{hns: hnssim.Options{Facts: facts, Lenient: true}})
	const file = `C:\k\facts.json`
	h.selftest("keep", file)
	if len(h.hns.Networks()) != 2 {
		t.Fatalf("kept are %v", h.hns.Networks())
	}
	h.hns.Restart()
	f := h.selftest("after", "restart", file)
	if f.Restart == nil || *f.Restart != *facts.Restart || len(f.Answers) == 0 {
		t.Errorf("after a restart: %+v", f.Restart)
	}
	h.selftest("keep", file)
	h.shutDown()
	h.hns.Reboot()
	h.boot()
	f = h.selftest("after", "reboot", file)
	if f.Reboot == nil || *f.Reboot != *facts.Reboot {
		t.Errorf("after a reboot: %+v", f.Reboot)
	}
	h.selftest("keep", file)
	f = h.selftest("after", "clock", file)
	if f.Host.ClockKeepsBootID == nil || !*f.Host.ClockKeepsBootID {
		t.Errorf("after nothing happened to the clock: %+v", f.Host)
	}
	if n, e := h.hns.Networks(), h.hns.Endpoints(); len(n)+len(e) > 0 {
		t.Errorf("left are %v, %v", n, e)
	}
	if err := h.installer("selftest", "after", "clock", file).Run(); err == nil {
		t.Error("nothing was left, and it looked")
	}
}

// Failures and an interrupt leave nothing, and tell what it was.
func TestSelftestThatFailsLeavesNothing(t *testing.T) {
	h := newHost(t, options{hns: hnssim.Options{Lenient: true}})
	h.added(id(1), h.hns.AddNamespace(), h.conf(nil))
	h.hns.On(hnssim.Rule{Op: hnssim.Delete, Kind: hnssim.KindEndpoint, Nth: 2, Code: 0x800706BA})
	out, err := h.installer("selftest").Output()
	var told struct {
		Answers map[string]any
		Error   string
	}
	if err == nil || !strings.Contains(stderrOf(err), "0x800706ba") || json.Unmarshal(out, &told) != nil ||
		len(told.Answers) == 0 || told.Error == "" {
		t.Errorf("%v: %s%s", err, out, stderrOf(err))
	}
	h.wantOnlyAzure()
	h.hns.Forget()

	reached, until := make(chan struct{}), make(chan struct{})
	defer close(until)
	h.hns.On(hnssim.Rule{Op: hnssim.Create, Kind: hnssim.KindEndpoint, Nth: 4, Until: until, Reached: reached})
	cmd := h.installer("selftest")
	h.must(cmd.Start())
	<-reached
	h.must(cmd.Process.Signal(syscall.SIGINT)) // Wine makes Ctrl-C of it
	err = cmd.Wait()
	if err == nil {
		t.Error("it succeeded though it was interrupted")
	}
	h.wantOnlyAzure()
}
