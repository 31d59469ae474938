// Package prepare writes the files that a node needs before its first pod: for systemd, the programs that manage the
// host's network, and cloud-init. It takes exactly these files away again.
//
// Each file says in its own head that it is ours, and what was made for it, so nothing has to be remembered anywhere
// else: script, package and DaemonSet may follow each other, and be interrupted at any moment.
package prepare

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// head is the first line of each file; the second one has the sum of what follows it, and the folder that was made for
// the file, the uppermost if there were several, or "-".
const head = "# Written by azure-vnet host prepare; azure-vnet host restore removes it if nobody has changed it.\n"

// temporary is the name of what is not complete yet, beside its place. No program reads it, since it lacks the ending.
const temporary = ".azure-vnet-prepare"

// file is one that a node needs.
type file struct {
	path string // on the node
	body string
	why  string
	late bool // written when those who read the others have done so
}

// text is the file with its head.
func text(made, body string) string {
	rest := "made=" + made + "\n" + body
	return fmt.Sprintf("%s# sum=%x %s", head, sha256.Sum256([]byte(rest)), rest)
}

// parse says what of a file is ours: its body, and the folder that was made for it. ok is false if somebody has written
// or changed it.
func parse(b string) (made, body string, ok bool) {
	rest, is := strings.CutPrefix(b, head)
	if !is {
		return "", "", false
	}
	line, body, _ := strings.Cut(rest, "\n")
	_, made, is = strings.Cut(line, " made=")
	if !is || text(made, body) != b {
		return "", "", false
	}
	return made, body, true
}

// state is what is at a file's place.
type state int

const (
	missing state = iota
	same
	older  // ours, with another body
	theirs // somebody's
)

// look says what is at the place of f, and which folder was made for it if it is ours.
func look(root string, f file) (s state, made string, err error) {
	path := filepath.Join(root, f.path)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return missing, "", nil
	}
	if err != nil {
		return missing, "", err
	}
	if !info.Mode().IsRegular() {
		return theirs, "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return missing, "", err
	}
	made, body, ours := parse(string(b))
	switch {
	case ours && body == f.body, string(b) == f.body:
		return same, made, nil
	case ours:
		return older, made, nil
	}
	return theirs, "", nil
}

// write puts a file in place as a whole, with the folders that it needs: whoever is interrupted leaves either nothing
// or all of it, but for what is named temporary, which the next one removes.
func write(root string, f file) error {
	path := filepath.Join(root, f.path)
	above, missing := filepath.Dir(path), "" // the lowest folder that is there, the uppermost that is not
	for {
		_, err := os.Stat(above)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || above == filepath.Dir(above) {
			return err
		}
		above, missing = filepath.Dir(above), above
	}
	temp := filepath.Join(above, temporary)
	var err error
	if missing == "" {
		if err = put(temp, text("-", f.body)); err == nil {
			err = os.Link(temp, path) // what somebody has written meanwhile stays
		}
	} else {
		inside := filepath.Join(temp, strings.TrimPrefix(path, missing))
		if err = os.MkdirAll(filepath.Dir(inside), 0o755); err == nil {
			err = put(inside, text("/"+strings.TrimPrefix(strings.TrimPrefix(missing, filepath.Clean(root)), "/"), f.body))
		}
		if err == nil {
			err = os.Rename(temp, missing)
		}
	}
	return errors.Join(err, os.RemoveAll(temp))
}

// rewrite gives a file of ours another body.
func rewrite(root string, f file, made string) error {
	path := filepath.Join(root, f.path)
	temp := filepath.Join(filepath.Dir(path), temporary)
	err := put(temp, text(made, f.body))
	if err == nil {
		err = os.Rename(temp, path)
	}
	return errors.Join(err, os.RemoveAll(temp))
}

func put(path, content string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// remove takes a file of ours away, and the folders that were made for it, as far as nobody else uses them.
func remove(root, path string) (gone bool, err error) {
	b, err := os.ReadFile(filepath.Join(root, path))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	made, _, ours := parse(string(b))
	if !ours {
		return false, nil
	}
	alone := filepath.Join(root, path)
	for dir := filepath.Dir(path); made != "-" && (dir == made || strings.HasPrefix(dir, made+"/")) &&
		only(filepath.Join(root, dir)); dir = filepath.Dir(dir) {
		alone = filepath.Join(root, dir)
	}
	// One rename takes file and folders: whoever is interrupted leaves no folder of which nobody knows that it was made.
	temp := filepath.Join(filepath.Dir(alone), temporary)
	err = os.Rename(alone, temp)
	return err == nil, errors.Join(err, os.RemoveAll(temp))
}

// only says whether a folder has one entry.
func only(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 1
}

// sweep removes what an interrupted one has left.
func sweep(root string) error {
	paths := places(root)
	found, _ := filepath.Glob(filepath.Join(root, dropIns)) // fails for a bad pattern only
	for _, dir := range found {
		paths = append(paths, filepath.Join(strings.TrimPrefix(dir, filepath.Clean(root)), dropInName))
	}
	var errs []error
	for _, path := range paths {
		for dir := filepath.Dir(path); dir != "/" && dir != "."; dir = filepath.Dir(dir) {
			errs = append(errs, os.RemoveAll(filepath.Join(root, dir, temporary)))
		}
	}
	return errors.Join(errs...)
}

// lock keeps a second one out, until release. It is the kernel's lock of the folder itself, so it leaves no file.
func lock(root string) (release func(), err error) {
	dir, err := os.Open(filepath.Join(root, "etc"))
	if err != nil {
		return nil, err
	}
	if err = unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir.Name(), err), dir.Close())
	}
	return func() { _ = dir.Close() }, nil
}
