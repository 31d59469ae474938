package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-container-networking/azure"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/finding"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/log"
	"github.com/Azure/azure-container-networking/platform"
)

var discard = slog.New(slog.DiscardHandler)

// Space below which a state file may not be replaced: it is written twice beside itself, and has 100 KiB on a full
// node.
const (
	littleSpace = 16 << 20
	noSpace     = 1 << 20
)

// folder is the check of dataDir.
func (d *Examination) folder(context.Context) []finding.Finding {
	const check = "data-dir"
	fail := func(level finding.Level, remedy, format string, args ...any) []finding.Finding {
		return finding.Report(check, "",
			[]finding.Finding{{Level: level, Found: fmt.Sprintf(format, args...), Remedy: remedy}})
	}
	free, err := freeSpace(d.DataDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(finding.Failure, makeFolder(d.DataDir), "%s is not there", d.DataDir)
	case err == nil && free < noSpace:
		return fail(finding.Failure, "make room: "+seeRoom(d.DataDir),
			"%s has no room for a new state (%d KiB)", d.DataDir, free>>10)
	}
	if err := writesIn(d.DataDir); errors.Is(err, syscall.ENOSPC) {
		return fail(finding.Failure, "make room: "+seeFiles(d.DataDir), "%s takes no new file: %v", d.DataDir, err)
	} else if err != nil {
		return fail(finding.Failure, makeWritable+", or name another folder as \"dataDir\"", "%s: %v", d.DataDir, err)
	}
	switch {
	case err != nil:
		return fail(finding.Warning, "look at the file system", "%s: %v", d.DataDir, err)
	case free < littleSpace:
		return fail(finding.Warning, "make room: "+seeRoom(d.DataDir), "%s has only %d KiB left", d.DataDir, free>>10)
	}
	return finding.Report(check, d.DataDir+" is writable", nil)
}

// writesIn makes a file as large as a state in the folder, and takes it away again.
func writesIn(dir string) error {
	f, err := os.CreateTemp(dir, ".azure-vnet-doctor-*")
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err
	} else if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, noSpace/10))
	return errors.Join(err, f.Close(), os.Remove(f.Name()))
}

// states is the check of the state files.
func (d *Examination) states(ctx context.Context) []finding.Finding {
	var wrong []finding.Finding
	if d.Networks != nil {
		wrong = stateFile(filepath.Join(d.DataDir, name+".json"),
			func(l *slog.Logger) error { return d.Networks.ReadState(ctx, d.DataDir, l) })
	}
	wrong = append(wrong, stateFile(filepath.Join(d.DataDir, ipamplugin.Name+".json"), func(l *slog.Logger) error {
		s, err := ipamplugin.OpenStore(d.DataDir, l)
		if err != nil {
			return err
		}
		return s.View(ctx, func(*ipam.State) error { return nil })
	})...)
	return finding.Report("state", "the state files can be read, and none was damaged", wrong)
}

func stateFile(path string, view func(*slog.Logger) error) (wrong []finding.Finding) {
	add := func(level finding.Level, remedy, format string, args ...any) {
		wrong = append(wrong, finding.Finding{Level: level, Found: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	said := &strings.Builder{}
	// What View cannot return, because it succeeds with the mirror, it logs.
	err := view(slog.New(slog.NewTextHandler(said, &slog.HandlerOptions{Level: slog.LevelError})))
	switch {
	case err != nil:
		add(finding.Failure, remedyOf(err), "%s: %v", path, err)
	case strings.Contains(said.String(), "fromMirror=true"):
		add(finding.Warning, "start a pod on this node: the state is written anew from its mirror",
			"%s is damaged or gone; its mirror serves", path)
	case said.Len() > 0:
		add(finding.Failure, "start a pod on this node: the state is rebuilt from the host, and the damaged file kept aside",
			"%s is damaged, and its mirror, too", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && openToOthers(path, info) {
		add(finding.Warning, keepPrivate(path), "%s can be read or written by others (%s)", path, info.Mode().Perm())
	}
	aside, _ := filepath.Glob(path + ".corrupt-*") // fails for a bad pattern only
	for _, file := range aside {
		when := strings.TrimPrefix(file, path+".corrupt-")
		if t, err := time.Parse("20060102T150405Z", when); err == nil {
			when = t.Format(time.RFC3339)
		}
		add(finding.Warning, "see the logs of that time for the cause (disk full, power loss, another program?), then "+
			removeFile(file), "%s was damaged at %s and set aside", path, when)
	}
	return wrong
}

// remedyOf is what the plugin tells a runtime, too.
func remedyOf(err error) string {
	return cmp.Or(ipamplugin.Explain(err).Details, "run doctor as root, on the host")
}

// locks finds processes that hold a lock for long.
func (d *Examination) locks(context.Context) []finding.Finding {
	var wrong []finding.Finding
	// Not the one of who asks the host agent: that takes its time, which is bounded.
	for _, lock := range []string{name, ipamplugin.Name, name + "-network"} {
		path := filepath.Join(d.DataDir, lock+".lock")
		h, err := platform.LockHolder(path)
		switch {
		case err != nil:
			wrong = append(wrong, finding.Finding{Level: finding.Warning, Found: err.Error(), Remedy: "run doctor as root"})
		case h != nil:
			wrong = append(wrong, finding.Finding{Level: finding.Failure, Transient: true,
				Found: fmt.Sprintf("%s is held for more than %s by process %d (%s): all others wait", path, patience, h.PID,
					cmp.Or(h.Command, "it has ended, a child of it has the lock")),
				Remedy: endOf(h.PID) + ". Deleting the file does not help"})
		}
	}
	return finding.Report("locks", "no process holds a lock for long", wrong)
}

// logs is the check of the log file.
func (d *Examination) logs(context.Context) []finding.Finding {
	if d.LogFile == log.Stderr {
		return finding.Report("log", "goes to the runtime's log (stderr)", nil)
	}
	where := d.LogFile
	info, err := os.Stat(where)
	if err != nil {
		where = filepath.Dir(where)
		info, err = os.Stat(where)
	}
	switch {
	case err != nil:
		err = fmt.Errorf("its folder is not there: %w", err)
	case where == d.LogFile && !info.Mode().IsRegular():
		err = fmt.Errorf("it is not a file (%s)", info.Mode().Type())
	default:
		err = writable(where)
	}
	if err != nil {
		return finding.Report("log", "",
			[]finding.Finding{{Level: finding.Warning,
				Found:  fmt.Sprintf("%s cannot be written: %v; what happens is told to the runtime's log only", d.LogFile, err),
				Remedy: makeFolder(filepath.Dir(d.LogFile)) + ", or name another file as \"logFile\""}})
	}
	return finding.Report("log", d.LogFile+" is writable", nil)
}

// OwnAddresses says whether addresses come from azure-vnet-ipam, as far as that is known.
func (d *Examination) OwnAddresses() bool {
	return d.conf == nil || d.conf.IPAM.Type == ipamplugin.Name
}

// from is where addresses come from: environment, and URL or file.
func (d *Examination) from(a ipam.SourceStatus) (environment, from string) {
	environment, from = a.Environment, a.URL
	if d.common != nil {
		environment, from = d.common.IPAM.Environment, d.common.IPAM.QueryURL
		if environment == azure.EnvironmentStack {
			from = d.common.IPAM.InterfacesFile
		}
	}
	switch {
	case environment == azure.EnvironmentStack && from == "":
		from = platform.DefaultInterfacesFile
	case from == "":
		from = azure.HostAgentURL
	}
	return environment, from
}
