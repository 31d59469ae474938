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
	"unsafe"

	"github.com/Azure/azure-container-networking/platform/plain"
)

const (
	fileMode  = 0o600
	mirrorExt = ".bak"
	tempInfix = ".tmp-"

	// sweepLimit bounds how many names of the folder are looked at for leftovers. /var/run has some fifty.
	sweepLimit = 4096

	// headSize is what a file is looked at for whether it is the one that is known, in bytes: more than the envelope's
	// members before the data.
	headSize = 512
)

// files are the files of one store. All methods that write need the lock.
type files struct {
	path, lock, mirror, dir string
	temp                    string // prefix of the paths of temporary files, see tempOf
	now                     func() time.Time
	log                     *slog.Logger
	holder                  func(lock string) string // Options.Holder
}

func newFiles(path string, now func() time.Time, log *slog.Logger) files {
	dir, name := filepath.Split(path)
	return files{
		path: path, lock: LockPath(path), mirror: path + mirrorExt, dir: filepath.Dir(path),
		temp: dir + "." + name + tempInfix, now: now, log: log,
	}
}

// content is a file as it was read, or written.
type content struct {
	info plain.Info
	text string
}

// same says whether an open file is the one that is known. A state is only ever replaced whole, by another file with
// another generation and time in its head.
func (c *content) same(file *plain.File, info plain.Info) bool {
	if c == nil || !info.Same(c.info) || c.info.Size != info.Size || !c.info.Modified.Equal(info.Modified) {
		return false
	}
	head := make([]byte, min(headSize, len(c.text)))
	_, err := file.ReadAt(head, 0)
	return err == nil && c.text[:len(head)] == string(head)
}

// readFile reads a regular file of at most maxSize bytes; a larger one is damaged. It follows no symbolic link. What is
// known already is not read again: a command asks for its state some ten times, and changes it three times.
func readFile(ctx context.Context, path string, known *content) (*content, error) {
	file, err := openRead(ctx, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // read only: nothing can be lost
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Type.IsRegular() {
		return nil, errNotRegular(path, info.Type)
	}
	if info.Size > maxSize {
		return nil, damaged(fmt.Errorf("%s has %d bytes, the limit is %d", path, info.Size, maxSize))
	}
	if known.same(file, info) {
		return known, nil
	}
	text := make([]byte, info.Size)
	n, err := io.ReadFull(file, text)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	return &content{info, asString(text[:n])}, nil
}

// asString is the text without a copy of it. Nobody may change the bytes any more.
func asString(text []byte) string { return unsafe.String(unsafe.SliceData(text), len(text)) }

// commit replaces the main file and its mirror by a text, and returns the file as it is then. If aside is not empty,
// the present main file stays under a name of that kind. After an error the main file is what it was before; the error
// wraps ErrWrite or ErrLocked.
//
// The order makes sure of that, and that no crash between two steps leaves less than one whole file: everything that
// needs space is done before anything is renamed.
func (f *files) commit(ctx context.Context, lock *held, text []byte, aside string) (_ *content, err error) {
	temp, info, err := f.writeTemp(ctx, lock, f.path, text, true)
	if err != nil {
		return nil, f.writeError(err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
		}
	}()
	if !f.holds(lock.file) {
		return nil, fmt.Errorf("%w: %s was removed while it was held", ErrLocked, f.lock)
	}
	if aside != "" {
		if err := f.keepAside(ctx, aside); err != nil {
			return nil, f.writeError(err)
		}
	}
	f.writeMirror(ctx, lock, text)
	if err := rename(ctx, temp, f.path); err != nil {
		_ = os.Remove(f.mirror) // it is ahead of what the caller will believe; no mirror is better
		return nil, f.writeError(err)
	}
	if err := syncDir(f.dir); err != nil {
		// The new state is in force for every process. Only a power loss could undo it, and what was written before a
		// power loss belongs to an earlier boot.
		f.log.WarnContext(ctx, "state folder not synced", "path", f.dir, "cause", err)
	}
	return &content{info, asString(text)}, nil
}

// writeMirror replaces the mirror, or removes it: a mirror is current or absent, so that a recovery never brings back
// an address that was released and given to somebody else since. A mirror that cannot be written must not stop the
// pods.
//
// It is not synced. The mirror stands in for a main file that was damaged while the machine ran; after a power loss the
// boot identity is another and nothing that concerns the kernel is believed anyway.
func (f *files) writeMirror(ctx context.Context, lock *held, text []byte) {
	temp, _, err := f.writeTemp(ctx, lock, f.mirror, text, false)
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

// tempOf is the temporary file for a path, ours or the mirror's. Whoever has this lock uses the same one, so what a
// killed process has left is in the way of the next write, which replaces it: nobody has to look for it. Two that each
// believe to have the lock, because somebody removed its file, have files of different locks.
func (f *files) tempOf(lock *held, path string) string {
	return f.temp + keyOf(lock.file) + strings.TrimPrefix(path, f.path)
}

// writeTemp writes the text to the temporary file for a path, and returns its name, and what it is. It leaves nothing
// behind when it fails. What killed processes have left may be what fills the disk: it is looked for then.
func (f *files) writeTemp(ctx context.Context, lock *held, path string, text []byte, sync bool) (
	temp string, info plain.Info, err error,
) {
	temp = f.tempOf(lock, path)
	info, err = writeNew(ctx, temp, text, sync)
	if err != nil && f.sweep(lock) {
		info, err = writeNew(ctx, temp, text, sync)
	}
	return temp, info, err
}

func writeNew(ctx context.Context, path string, text []byte, sync bool) (info plain.Info, err error) {
	file, err := create(ctx, path)
	if err != nil {
		return plain.Info{}, err
	}
	_, err = file.Write(text)
	if err == nil && sync {
		err = file.Sync()
	}
	if err == nil {
		info, err = file.Stat()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(path)
	}
	return info, err
}

// create makes a new file, in place of one that a killed process has left.
func create(ctx context.Context, path string) (*plain.File, error) {
	open := func() (*plain.File, error) { return plain.Open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode) }
	file, err := open()
	if !errors.Is(err, fs.ErrExist) {
		return file, err
	}
	err = replacing(ctx, func() error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		file, err = open()
		return err
	})
	return file, err
}

// sweep removes temporary files of killed processes that had a lock file which is gone since, and says whether it found
// one. Nobody else can have one who has this lock.
func (f *files) sweep(lock *held) (found bool) {
	prefix, own := filepath.Base(f.temp), filepath.Base(f.tempOf(lock, f.path))
	names, _ := plain.Names(f.dir, sweepLimit)
	for _, name := range names {
		if strings.HasPrefix(name, prefix) && name != own && name != own+mirrorExt {
			found = os.Remove(filepath.Join(f.dir, name)) == nil || found
		}
	}
	return found
}

func (f *files) writeError(cause error) error {
	return fmt.Errorf("%w: %s keeps its previous content: %w", ErrWrite, f.path, cause)
}
