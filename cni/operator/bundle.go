package operator

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/Azure/azure-container-networking/cni"
	"github.com/Azure/azure-container-networking/cni/ipamplugin"
	"github.com/Azure/azure-container-networking/doctor"
	"github.com/Azure/azure-container-networking/doctor/networks"
	"github.com/Azure/azure-container-networking/ipam"
	"github.com/Azure/azure-container-networking/platform"
)

// bundle writes one archive for a report of an error: what doctor and show say, logs, configuration, state, and what
// the host's own tools show of the network. Nothing of the environment is in it, and no secret of a configuration
// (redact). What cannot be had says why in its place.
func bundle(ctx context.Context, o options, dirs []string, stdout io.Writer) error {
	if err := doctor.Privileged(); err != nil {
		return fmt.Errorf("the state is root's: %w %s bundle", err, filepath.Join(cni.ProgramDir(), name))
	}
	debug.SetGCPercent(100) // unlike other commands it needs room, for logs
	debug.SetMemoryLimit(math.MaxInt64)
	now := time.Now().UTC()
	file := o.file
	if file == "" {
		file = "azure-vnet-bundle-" + now.Format("20060102T150405Z") + ".tar.gz"
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	b := newBundle(f, now)
	b.collect(ctx, o, dirs)
	if err := errors.Join(b.end(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", file, err), os.Remove(file))
	}
	_, err = fmt.Fprintf(stdout,
		"%s has %d files. Names of pods and addresses are in it; look through it before you send it: tar -tvzf %s\n", file,
		len(b.names), file)
	return err
}

// bundleOf is a bundle under way. The first error of the archive ends it all.
type bundleOf struct {
	zip   *gzip.Writer
	tar   *tar.Writer
	root  string
	at    time.Time
	names map[string]bool // of the files that are in it
	err   error
}

func newBundle(w io.Writer, at time.Time) *bundleOf {
	z := gzip.NewWriter(w)
	return &bundleOf{zip: z, tar: tar.NewWriter(z), root: "azure-vnet-bundle", at: at, names: map[string]bool{}}
}

func (b *bundleOf) end() error { return errors.Join(b.err, b.tar.Close(), b.zip.Close()) }

// add puts a text into the archive, without its secrets. err is why there is none. Two logs may have one name: that of
// a configuration, and the one that has what was wrong before any was read.
func (b *bundleOf) add(name string, text []byte, err error) {
	for n, first := 2, name; b.names[name]; n++ {
		name = path.Join(path.Dir(first), strconv.Itoa(n)+"-"+path.Base(first))
	}
	b.names[name] = true
	if err != nil {
		text = append(text, fmt.Sprintf("\n(%v)\n", err)...)
	}
	if b.err == nil {
		text = redact(text)
		b.err = b.tar.WriteHeader(&tar.Header{Name: path.Join(b.root, name), Mode: 0o600,
			Size: int64(len(text)), ModTime: b.at})
	}
	if b.err == nil {
		_, b.err = b.tar.Write(text)
	}
}

// collect takes everything. o says where the state is.
func (b *bundleOf) collect(ctx context.Context, o options, dirs []string) {
	b.add("versions.txt", versions(o.version), nil)
	o.output, o.pod = "table", ""
	said := &bytes.Buffer{}
	err := networks.New(o.examined()).Run(ctx, said)
	if errors.Is(err, doctor.ErrWarning) || errors.Is(err, doctor.ErrFailure) {
		err = nil
	}
	b.add("doctor.txt", said.Bytes(), err)
	for i, dir := range dirs {
		in := ""
		if i > 0 {
			in = "-" + strconv.Itoa(i+1)
		}
		b.states(ctx, o, dir, in)
	}
	b.configurations(o)
	d := networks.New(o.examined())
	d.Locate()
	for _, log := range slices.Compact([]string{d.LogFile, platform.DefaultLogFile(name),
		platform.DefaultLogFile(ipamplugin.Name)}) {
		b.log(log)
	}
	for _, t := range tools {
		text, err := output(ctx, t.command...)
		b.add(path.Join("host", t.file), text, err)
	}
	for _, f := range hostFacts {
		text, err := os.ReadFile(f)
		b.add(path.Join("host", filepath.Base(f)+".txt"), text, err)
	}
}

// states are those of a folder, as show says them.
func (b *bundleOf) states(ctx context.Context, o options, dir, in string) {
	s, err := shownIn(ctx, []string{dir}, o.logger)
	text, _ := json.Marshal(s) // structs of ours
	b.add("show"+in+".json", text, err)
	pools, err := ipamplugin.OpenStore(dir, o.logger)
	said := &bytes.Buffer{}
	if err == nil {
		err = pools.View(ctx, func(state *ipam.State) error { return ipamplugin.Show(state, ipamplugin.Pods(dir), said) })
	}
	b.add("show-ipam"+in+".json", said.Bytes(), err)
}

// configurations are those of the folder that runtimes read, by name, and the one that was named. Other files there may
// be credentials.
func (b *bundleOf) configurations(o options) {
	entries, err := os.ReadDir(doctor.ConfDir)
	list := &bytes.Buffer{}
	for _, e := range entries {
		_, _ = fmt.Fprintln(list, e.Name())
		if slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(e.Name())) {
			text, rerr := os.ReadFile(filepath.Join(doctor.ConfDir, e.Name()))
			b.add(path.Join("configuration", e.Name()), text, rerr)
		}
	}
	b.add("configuration/list.txt", list.Bytes(), err)
	if o.config != "" {
		text, err := os.ReadFile(o.config)
		b.add(path.Join("configuration", "named-"+filepath.Base(o.config)), text, err)
	}
}

// logSize is how much of a log is taken, in bytes: its end.
const logSize = 5 << 20

// log takes the end of a log, and of the one before it.
func (b *bundleOf) log(file string) {
	for _, f := range []string{file, file + ".1"} {
		text, err := tail(f, logSize)
		if errors.Is(err, os.ErrNotExist) && f != file {
			continue
		}
		b.add(path.Join("log", filepath.Base(f)), text, err)
	}
}

// tail is the end of a file.
func tail(file string, most int64) (text []byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", file)
	}
	if _, err := f.Seek(max(0, info.Size()-most), io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, most))
}

func versions(version string) []byte {
	return fmt.Appendf(nil, "azure-vnet %s\n%s %s/%s\nprogram %s\n", version, runtime.Version(), runtime.GOOS,
		runtime.GOARCH, cni.ProgramDir())
}
