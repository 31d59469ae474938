package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/Azure/azure-container-networking/platform/plain"
)

// Kinds of files kept aside: <path>.<kind>-<time>.
const (
	asideCorrupt = "corrupt"
	asideClassic = "classic"
)

const (
	asideTime = "20060102T150405Z" // sorts by age
	asideKeep = 8                  // files kept of each kind
)

// keepAside gives the main file a second name, which stays when the main file is replaced a moment later. A hard link
// rather than a rename: the damaged file stays in place until its successor is, so a crash in between cannot make it
// look as if there had never been a state.
func (f *files) keepAside(ctx context.Context, kind string) error {
	stamp := f.path + "." + kind + "-" + f.now().UTC().Format(asideTime)
	for n := range 100 {
		name := stamp
		if n > 0 {
			name = fmt.Sprintf("%s-%02d", stamp, n)
		}
		err := os.Link(f.path, name)
		switch {
		case errors.Is(err, fs.ErrExist):
			continue // never overwrite an earlier one
		case err != nil:
			if err = renameAside(f.path, name); err != nil {
				return err
			}
		}
		f.log.WarnContext(ctx, "state file kept aside", "path", f.path, "as", name)
		f.pruneAside(kind, name)
		return nil
	}
	return fmt.Errorf("keep %s aside: all names %s-NN are taken", f.path, stamp)
}

// renameAside is for file systems without hard links, FAT for one.
func renameAside(path, name string) error {
	if _, err := os.Lstat(name); err == nil {
		return fmt.Errorf("rename %s: %s: %w", path, name, fs.ErrExist)
	}
	return os.Rename(path, name)
}

// pruneAside removes the oldest files of a kind beyond asideKeep, never the one just made: the clock may have gone
// back.
func (f *files) pruneAside(kind, made string) {
	all, err := plain.Names(f.dir, plain.All)
	if err != nil {
		return
	}
	prefix := filepath.Base(f.path) + "." + kind + "-"
	var names []string
	for _, name := range all {
		if len(name) >= len(prefix)+len(asideTime) && name[:len(prefix)] == prefix && name != filepath.Base(made) {
			names = append(names, name)
		}
	}
	for len(names) >= asideKeep {
		_ = os.Remove(filepath.Join(f.dir, names[0])) // an old copy too many harms nobody
		names = names[1:]
	}
}
