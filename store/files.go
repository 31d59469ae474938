package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	fileMode  = 0o600
	tempInfix = ".tmp-"

	// sweepLimit bounds how many names of the folder are looked at for leftovers. /var/run has some fifty.
	sweepLimit = 4096

	readBlock = 16 << 10 // bytes read at once
)

// files are the files of one store. All methods that write need the lock.
type files struct {
	path, lock, mirror, dir string
	temp                    string // prefix of the names of temporary files
	now                     func() time.Time
	log                     *slog.Logger
	holder                  func(lock string) string // Options.Holder
}

func newFiles(path string, now func() time.Time, log *slog.Logger) files {
	return files{
		path: path, lock: LockPath(path), mirror: path + ".bak", dir: filepath.Dir(path),
		temp: "." + filepath.Base(path) + tempInfix, now: now, log: log,
	}
}

// readFile reads a regular file of at most maxSize bytes; a larger one is damaged. It follows no symbolic link.
func readFile(ctx context.Context, path string) (string, error) {
	file, err := openRead(ctx, path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // read only: nothing can be lost
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errNotRegular(path, info.Mode())
	}
	if info.Size() > maxSize {
		return "", damaged(fmt.Errorf("%s has %d bytes, the limit is %d", path, info.Size(), maxSize))
	}
	var text strings.Builder
	text.Grow(int(info.Size()))
	block := make([]byte, min(info.Size()+1, readBlock))
	if _, err := io.CopyBuffer(&text, io.LimitReader(file, maxSize+1), block); err != nil {
		return "", err
	}
	return text.String(), nil
}

// commit replaces the main file and its mirror by the pieces of a text. If aside is not empty, the present main file
// stays under a name of that kind. After an error the main file is what it was before; the error wraps ErrWrite or
// ErrLocked.
//
// The order makes sure of that, and that no crash between two steps leaves less than one whole file: everything that
// needs space is done before anything is renamed.
func (f *files) commit(ctx context.Context, lock *flock.Flock, text [][]byte, aside string) (err error) {
	f.sweep()
	temp, err := f.writeTemp(text, true)
	if err != nil {
		return f.writeError(err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
		}
	}()
	if !f.holds(lock) {
		return fmt.Errorf("%w: %s was removed while it was held", ErrLocked, f.lock)
	}
	if aside != "" {
		if err := f.keepAside(ctx, aside); err != nil {
			return f.writeError(err)
		}
	}
	f.writeMirror(ctx, text)
	if err := rename(ctx, temp, f.path); err != nil {
		_ = os.Remove(f.mirror) // it is ahead of what the caller will believe; no mirror is better
		return f.writeError(err)
	}
	if err := syncDir(f.dir); err != nil {
		// The new state is in force for every process. Only a power loss could undo it, and what was written before a
		// power loss belongs to an earlier boot.
		f.log.WarnContext(ctx, "state folder not synced", "path", f.dir, "cause", err)
	}
	return nil
}

// writeMirror replaces the mirror, or removes it: a mirror is current or absent, so that a recovery never brings back
// an address that was released and given to somebody else since. A mirror that cannot be written must not stop the
// pods.
//
// It is not synced. The mirror stands in for a main file that was damaged while the machine ran; after a power loss the
// boot identity is another and nothing that concerns the kernel is believed anyway.
func (f *files) writeMirror(ctx context.Context, text [][]byte) {
	temp, err := f.writeTemp(text, false)
	if err == nil {
		if err = rename(ctx, temp, f.mirror); err == nil {
			return
		}
		_ = os.Remove(temp)
	}
	if rmErr := os.Remove(f.mirror); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	f.log.WarnContext(ctx, "state mirror not written", "path", f.mirror, "cause", err)
}

// writeTemp writes the text to a new file in the folder of the state file and returns its name. It leaves nothing
// behind when it fails.
func (f *files) writeTemp(text [][]byte, sync bool) (string, error) {
	file, err := os.CreateTemp(f.dir, f.temp+"*") // O_EXCL, mode 0600
	if err != nil {
		return "", err
	}
	for _, piece := range text {
		if err == nil {
			_, err = file.Write(piece)
		}
	}
	if err == nil && sync {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return "", err
	}
	return file.Name(), nil
}

// sweep removes the temporary files of killed processes. Under the lock all of them are leftovers. It runs before a
// write because a disk that is full of leftovers must become writable again; failures show in that write.
func (f *files) sweep() {
	dir, err := os.Open(f.dir)
	if err != nil {
		return
	}
	names, _ := dir.Readdirnames(sweepLimit)
	_ = dir.Close()
	for _, name := range names {
		if strings.HasPrefix(name, f.temp) {
			_ = os.Remove(filepath.Join(f.dir, name))
		}
	}
}

func (f *files) writeError(cause error) error {
	return fmt.Errorf("%w: %s keeps its previous content: %w", ErrWrite, f.path, cause)
}
