package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// layout is where things belong, and what an installation needs of its surroundings.
type layout struct {
	Bin, Conf string // of the plugins and of their configuration
	Store     string // the versions that are kept, and which of them is in use
	State     string // of the plugins' own
	Ext       string // of a program
	Patience  time.Duration
	Cleanup   func(plugin, dataDir string) error
	Restrict  func(dir string) error             // lets administrators alone write there
	Writers   func(dir string) ([]string, error) // who else may
	// RemoteARP says whether HNS is told the fabric's MAC, and tells it if set is true.
	RemoteARP func(set bool) (told bool, err error)
	Say       func(string)
	DryRun    bool
	SetARP    bool // let HNS be told the fabric's MAC
}

const conflist = "10-azure.conflist"

// before is the version that was there before the first installation: somebody else's plugins, without configuration.
const before = "before"

// inUse is the state file of the store: versions, "" for none. It is replaced before the plugins are, so that whoever
// is interrupted goes on, or back, by the same command.
type inUse struct {
	Current  string `json:"current"`
	Previous string `json:"previous"`
}

func (l layout) plugins() []string { return []string{"azure-vnet" + l.Ext, "azure-vnet-ipam" + l.Ext} }

func (l layout) version(name string) string { return filepath.Join(l.Store, "versions", name) }

func (l layout) readState() (s inUse, err error) {
	text, err := os.ReadFile(filepath.Join(l.Store, "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	return s, err
}

func (l layout) writeState(s inUse) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return l.write(filepath.Join(l.Store, "state.json"), text)
}

// write replaces a file as a whole: whoever opens it meets the old one or the new one. The temporary name ends so that
// no runtime takes it for a configuration.
func (l layout) write(path string, text []byte) error {
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".installing")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := writeSynced(temporary, text); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(temporary))
	}
	deadline := time.Now().Add(l.Patience)
	for {
		err := os.Rename(temporary, path)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf(
				"replace %s, which may be running: %w: run the same command again, it goes on where this one stopped", path, err),
				os.Remove(temporary))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// place copies a file to where it belongs, unless it is there already.
func (l layout) place(from, to string) (changed bool, err error) {
	text, err := os.ReadFile(from)
	if err != nil {
		return false, err
	}
	if old, err := os.ReadFile(to); err == nil && bytes.Equal(old, text) {
		return false, nil
	}
	return true, l.write(to, text)
}

// protect makes the folders that SYSTEM executes from, and believes, such that administrators alone write there. A
// folder of the state that was there before is somebody else's, too: of that it says what is wrong.
func (l layout) protect() error {
	if exists(l.State) {
		who, err := l.Writers(l.State)
		if err != nil {
			return err
		}
		if len(who) > 0 {
			l.Say(fmt.Sprintf("WARNING: %s may write into %s, where the state is; azure-vnet doctor says what to do",
				strings.Join(who, ", "), l.State))
		}
	} else if err := l.makeRestricted(l.State); err != nil {
		return errors.Join(err, remove(l.State)) // else the next attempt would take it for somebody else's
	}
	return l.makeRestricted(filepath.Dir(l.Bin))
}

func (l layout) makeRestricted(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return l.Restrict(dir)
}

// known says that a file is one that we have installed, of whatever version.
func (l layout) known(path, name string) (bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return false, ignoreMissing(err)
	}
	kept, err := filepath.Glob(filepath.Join(l.version("*"), name))
	if err != nil {
		return false, err
	}
	for _, k := range kept {
		if filepath.Base(filepath.Dir(k)) == before {
			continue
		}
		other, err := os.ReadFile(k)
		if err != nil {
			return false, err
		}
		if bytes.Equal(text, other) {
			return true, nil
		}
	}
	return false, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func remove(path string) error { return ignoreMissing(os.Remove(path)) }
