package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/Azure/azure-container-networking/platform/plain"
	"github.com/gofrs/flock"
)

const (
	fileMode  = 0o600
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
	temp                    string // prefix of the names of temporary files
	now                     func() time.Time
	log                     *slog.Logger
	holder                  func(lock string) string // Options.Holder
	swept                   *atomic.Bool             // nobody has to look for leftovers any more
}

func newFiles(path string, now func() time.Time, log *slog.Logger) files {
	return files{
		path: path, lock: LockPath(path), mirror: path + ".bak", dir: filepath.Dir(path),
		temp: "." + filepath.Base(path) + tempInfix, now: now, log: log, swept: new(atomic.Bool),
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
func (f *files) commit(ctx context.Context, lock *flock.Flock, text []byte, aside string) (_ *content, err error) {
	f.sweep()
	temp, info, err := f.writeTemp(text, true)
	if err != nil {
		return nil, f.writeError(err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
			f.swept.Store(false) // the disk may be full of them
		}
	}()
	if !f.holds(lock) {
		return nil, fmt.Errorf("%w: %s was removed while it was held", ErrLocked, f.lock)
	}
	if aside != "" {
		if err := f.keepAside(ctx, aside); err != nil {
			return nil, f.writeError(err)
		}
	}
	f.writeMirror(ctx, text)
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
func (f *files) writeMirror(ctx context.Context, text []byte) {
	temp, _, err := f.writeTemp(text, false)
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

// writeTemp writes the text to a new file in the folder of the state file and returns its name, and what it is. It
// leaves nothing behind when it fails.
func (f *files) writeTemp(text []byte, sync bool) (name string, info plain.Info, err error) {
	file, err := f.createTemp()
	if err != nil {
		return "", plain.Info{}, err
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
		_ = os.Remove(file.Name())
		return "", plain.Info{}, err
	}
	return file.Name(), info, nil
}

// createTemp is os.CreateTemp with our flags.
func (f *files) createTemp() (file *plain.File, err error) {
	for range 100 {
		name := filepath.Join(f.dir, f.temp+strconv.FormatUint(uint64(rand.Uint32()), 10))
		if file, err = plain.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	return file, err
}

// sweep removes the temporary files of killed processes. Under the lock all of them are leftovers. It runs before a
// write because a disk that is full of leftovers must become writable again; failures show in that write. One look is
// enough for a command.
func (f *files) sweep() {
	if f.swept.Swap(true) {
		return
	}
	names, _ := plain.Names(f.dir, sweepLimit)
	for _, name := range names {
		if strings.HasPrefix(name, f.temp) {
			_ = os.Remove(filepath.Join(f.dir, name))
		}
	}
}

func (f *files) writeError(cause error) error {
	return fmt.Errorf("%w: %s keeps its previous content: %w", ErrWrite, f.path, cause)
}
