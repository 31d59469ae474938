package metrics

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/cni/console/consoletest"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/ipam/source"
	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/platform"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// logOf is a log that rotates as the plugins' do.
type logOf struct {
	*testing.T
	path string
	c    counted
}

func newLog(t *testing.T) *logOf {
	t.Helper()
	return &logOf{T: t, path: filepath.Join(t.TempDir(), "azure-vnet.log"), c: counted{Since: noon}}
}

func (l *logOf) write(lines ...string) {
	l.Helper()
	f, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		l.Fatal(err)
	}
	defer f.Close()
	for _, line := range lines {
		if _, err := f.WriteString(line); err != nil {
			l.Fatal(err)
		}
	}
}

func (l *logOf) rotate() {
	l.Helper()
	for n := kept; n > 0; n-- {
		from := fmt.Sprintf("%s.%d", l.path, n-1)
		if n == 1 {
			from = l.path
		}
		_ = os.Rename(from, fmt.Sprintf("%s.%d", l.path, n)) // or there is none yet
	}
}

// want reads, and compares the count of successful ADDs.
func (l *logOf) want(adds uint64) {
	l.Helper()
	if err := l.c.read(l.path, "azure-vnet"); err != nil {
		l.Fatal(err)
	}
	got := uint64(0)
	if t := l.c.Commands["azure-vnet ADD 0"]; t != nil {
		got = t.Count
	}
	if got != adds {
		l.Errorf("%d ADDs are counted instead of %d", got, adds)
	}
}

var line = 0

// added is the line of an ADD.
func added(after time.Duration) string {
	line++
	return fmt.Sprintf("time=%s level=INFO msg=done pid=%d command=ADD containerID=c ifName=eth0 network=azure duration=3.5ms\n",
		noon.Add(after).Format("2006-01-02T15:04:05.000Z"), line)
}

// What commands did is counted once, whatever becomes of the files.
func TestCommandsAreCountedOnce(t *testing.T) {
	l := newLog(t)
	l.want(0)
	l.write(added(-time.Hour)) // of an earlier boot
	l.want(0)
	half := added(3 * time.Second)
	l.write(added(1*time.Second), added(2*time.Second), half[:30])
	l.want(2)
	l.want(2)
	l.write(half[30:], added(4*time.Second))
	l.want(4)
	l.rotate()
	l.want(4)
	l.write(added(5 * time.Second))
	l.want(5)
	l.write(added(6 * time.Second))
	l.rotate()
	l.write(added(7 * time.Second))
	l.rotate()
	l.want(7)
	l.write(added(8 * time.Second))
	l.want(8)
	for range kept + 2 { // faster than anybody reads: what is gone is gone
		l.write(added(9 * time.Second))
		l.rotate()
	}
	l.want(8 + kept)
	l.write(added(10 * time.Second))
	l.want(9 + kept)
	if err := os.WriteFile(l.path, nil, 0o600); err != nil { // by logrotate with copytruncate
		t.Fatal(err)
	}
	l.write(added(11 * time.Second))
	l.want(10 + kept)
}

func TestWhatALineSays(t *testing.T) {
	t.Parallel()
	at := "time=2026-11-28T13:00:00.000Z level="
	for text, want := range map[string]string{
		at + "INFO msg=done pid=1 command=ADD containerID=c duration=1.5ms":                          "azure-vnet ADD 0",
		at + "ERROR msg=failed pid=1 command=DEL duration=1s code=11 error=\"code=7 msg=done\"":      "azure-vnet DEL 11",
		at + "INFO msg=done pid=1 plugin=azure-vnet-ipam command=GC duration=1µs":                    "azure-vnet-ipam GC 0",
		at + "INFO msg=done pid=1 command=repair repaired=\"a; b\" duration=1m0s":                    "azure-vnet repair 0",
		at + "ERROR msg=failed pid=1 command=repair repaired=\"\" duration=1m0s error=x":             "azure-vnet repair 1",
		at + "INFO msg=done pid=1 command=FLY duration=1s":                                           "azure-vnet other 0",
		at + "INFO msg=done pid=1 command=ADD containerID=\"x command=DEL duration=9s\" duration=1s": "azure-vnet ADD 0",
		at + "DEBUG msg=step pid=1 command=ADD step=\"read the state\" duration=1s":                  "",
		at + "WARN msg=\"a msg=done b\" pid=1 command=ADD duration=1s":                               "",
		at + "ERROR msg=failed pid=1 command=ADD duration=1s":                                        "",
		"msg=done command=ADD duration=1s":                                                           "",
		"time=2026-11-28T11:00:00.000Z level=INFO msg=done pid=1 command=ADD duration=1s":            "",
		"\x00\x00\x00 msg=done ": "",
	} {
		c := counted{Since: noon}
		c.count([]byte(text+"\n"), noon, "azure-vnet")
		if got := len(c.Commands); got != min(len(want), 1) || want != "" && c.Commands[want] == nil {
			t.Errorf("%s is %v instead of %q", text, c.Commands, want)
		}
	}
}

// The text, which test/manifest reads with Prometheus' own parser.
func TestMetricsText(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	at := "time=2026-11-28T13:00:00.000Z level="
	l.write(added(time.Hour), added(time.Hour), at+"ERROR msg=failed pid=1 command=ADD duration=99s code=100 error=x\n",
		at+"INFO msg=done pid=1 plugin=azure-vnet-ipam command=DEL duration=1ms\n")
	l.want(2)
	g := gathered{
		version: "v2.0.0", pods: map[string]int{"azure": 2}, commands: l.c.Commands,
		drops:    []network.Drop{{Name: "azure0", Reason: `an "odd" reason \`, Packets: 7}, {Name: "azure0", Reason: "DHCP server in a pod"}},
		findings: map[finding.Level]int{finding.OK: 20, finding.Warning: 1}, failed: []string{"drops"},
	}
	var listed []netip.Addr
	for i := range byte(5) {
		listed = append(listed, netip.AddrFrom4([4]byte{10, 240, 0, 4 + i}))
	}
	g.ipam.AddressSpace = ipam.Space([]source.Subnet{{MAC: "00:0d:3a:11:22:33",
		Prefix: netip.MustParsePrefix("10.240.0.0/16"), Addresses: listed}},
		[]platform.Interface{{Name: "eth0", MAC: []byte{0, 0xd, 0x3a, 0x11, 0x22, 0x33}}}, "")
	g.ipam.Adopt(map[netip.Addr]ipam.Owner{listed[0]: {Network: "azure", ContainerID: "c", IfName: "eth0"}}, noon)
	g.ipam.Answer = ipam.SourceStatus{Refreshed: noon, Failure: "x"}
	consoletest.Screen(t, "metrics", g.text())
}

// Whoever reads the file meets the old text or the new one, and everybody may read it.
func TestAFileIsReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "azure-vnet.prom")
	for _, text := range []string{"one\n", strings.Repeat("two\n", 10000)} {
		old, _ := os.Open(file)
		if old != nil && runtime.GOOS == "windows" { // there a file that is open is not replaced: the next time it is
			_ = old.Close()
			old = nil
		}
		if err := replaceFile(file, text); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(file)
		info, serr := os.Stat(file)
		if err != nil || serr != nil || string(raw) != text || info.Mode().Perm()&0o444 != 0o444 {
			t.Errorf("%d bytes, %v, %v", len(raw), err, info.Mode())
		}
		if old != nil {
			if kept, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", old.Fd())); err == nil && string(kept) != "one\n" {
				t.Errorf("who had the file open reads %d bytes", len(kept))
			}
			_ = old.Close()
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if err := replaceFile(filepath.Join(dir, "nowhere", "x.prom"), ""); err == nil ||
		!strings.Contains(err.Error(), filepath.Join("nowhere", "x.prom")) {
		t.Errorf("error %v", err)
	}
}

// What was counted is of this boot; a file that is damaged is as good as none.
func TestWhatWasCountedIsRemembered(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "m.json")
	for text, want := range map[string]uint64{
		`{"boot":"b","commands":{"azure-vnet ADD 0":{"count":7,"total":1,"buckets":[1]}}}`: 7,
		`{"boot":"a","commands":{"azure-vnet ADD 0":{"count":7,"total":1,"buckets":[1]}}}`: 0,
		`{"boot":"b","comm`: 0,
		``:                  0,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c := remembered(file, "b")
		got := uint64(0)
		if one := c.Commands["azure-vnet ADD 0"]; one != nil {
			got = one.Count
		}
		if got != want || c.Boot != "b" || want == 0 && time.Since(c.Since) < 0 {
			t.Errorf("%s: %+v", text, c)
		}
	}
}
