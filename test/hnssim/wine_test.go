//go:build wine

package hnssim

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What test/wine/run.sh and the Makefile say.
const (
	wineEnv  = "WINE"        // the command that runs a Windows program
	testsEnv = "HNSSIM_EXES" // the folder of hcn.exe, docs.exe and winkernel.exe
)

// runOnWine runs a test program for Windows against a server, and expects that so many tests pass.
func runOnWine(t *testing.T, s *Server, program string, tests int, flags ...string) {
	t.Helper()
	words := append(strings.Fields(os.Getenv(wineEnv)), filepath.Join(os.Getenv(testsEnv), program), "-test.v", "-test.count=1")
	cmd := exec.Command(words[0], append(words[1:], flags...)...)
	cmd.Env = append(os.Environ(), s.Env())
	cmd.Dir = t.TempDir()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	passed := regexp.MustCompile(`(?m)^--- PASS: `).FindAllString(out.String(), -1)
	if err != nil || len(passed) != tests {
		t.Errorf("%s: %v, %d tests passed, want %d\n%s", program, err, len(passed), tests, out.String())
	}
}

// listen opens a socket of 127.0.0.1. run.sh has put this process into Wine's network.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestMicrosoftsTestsOfHCNPass(t *testing.T) {
	t.Parallel()
	// They make two endpoints of one name, and ask for what came with HNS 15.4.
	s := Serve(listen(t), Options{Lenient: true, Version: Version{15, 4}})
	defer s.Close()
	const all = 78 // of hcsshim v0.15.0
	runOnWine(t, s, "hcn.exe", all)
}

func TestTheDocumentsOfThePluginsAreTaken(t *testing.T) {
	t.Parallel()
	s := Serve(listen(t), Options{})
	defer s.Close()
	s.AddContainer("c0ffee")
	runOnWine(t, s, "docs.exe", 2)
	const want = `HNS Create Network
HNS Create Endpoint
HCS Modify ComputeSystem
HCS Modify ComputeSystem
HNS Delete Endpoint
HNS Delete Network
HCN Create Network
HCN Create Namespace
HCN Create Endpoint
HCN Modify Namespace
HCN Modify Namespace
HCN Delete Endpoint
HCN Delete Endpoint failed
HCN Delete Network
HCN Delete Namespace
`
	if got := s.Changes(); got != want {
		t.Errorf("the changes were\n%s\nwant\n%s", got, want)
	}
}

// Kubernetes skips the tests of kube-proxy that ask HNS itself ("Skipping failing test on Windows"); the Makefile takes
// these eleven lines out. The others ask a mock, and run because they are of the same program.
func TestKubernetesTestsOfWinkernelPass(t *testing.T) {
	t.Parallel()
	s := Serve(listen(t), Options{Lenient: true, Version: Version{15, 4}})
	defer s.Close()
	const all = 34 // of Kubernetes v1.34.4; 10 of them ask HNS
	// It compares structs with unexported fields by go-cmp, which panics, whatever HNS says.
	const wrong = "^TestGetEndpointByIpAddressAndName$"
	runOnWine(t, s, "winkernel.exe", all, "-test.skip="+wrong)
	const networks = 10 // one for each test that asks HNS
	if made := strings.Count(s.Changes(), "HCN Create Network\n"); made != networks || len(s.Networks()) > 0 {
		t.Errorf("%d networks were made, %d are left", made, len(s.Networks()))
	}
}
