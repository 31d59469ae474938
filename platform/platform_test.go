package platform

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const bootHelper = "PLATFORM_TEST_PRINT_BOOT_ID"

func TestMain(m *testing.M) {
	if os.Getenv(bootHelper) != "" {
		id, err := BootID()
		if err != nil {
			panic(err)
		}
		if _, err := os.Stdout.WriteString("boot=" + id + "\n"); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

func TestBootIDIsTheSameForAllProcesses(t *testing.T) {
	t.Parallel()
	mine, err := BootID()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("boot identity %s", mine)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), bootHelper+"=1", "GORACE=atexit_sleep_ms=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(string(out)); got != "boot="+mine {
			t.Errorf("another process says %q, want %q", got, "boot="+mine)
		}
	}
}

func TestInterfacesOfThisMachine(t *testing.T) {
	t.Parallel()
	got, err := Host{}.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range got {
		if i.Index <= 0 || i.Name == "" {
			t.Errorf("interface without index or name: %+v", i)
		}
	}
}
