package store

import "errors"

// Errors of waiting for the lock.
var (
	// ErrLocked is returned by Update when the lock was not obtained before the context ended, or when the lock file was
	// replaced while it was held. Nothing was changed; the caller may try again later. It wraps the context's error.
	ErrLocked = errors.New("state is locked")
)

// Errors of reading the state.
var (
	// ErrSchema is returned by View and Update when the file was written by a newer version of the program, or by an older
	// one and there is no Options.Migrate. The file is left alone.
	ErrSchema = errors.New("state file has another schema version")

	// ErrRead is returned by View and Update when the state file cannot be read at the moment: no file descriptor, no
	// memory, no permission, an I/O error. Nothing is known of what is in it; the file is left alone.
	ErrRead = errors.New("state file cannot be read")

	// ErrUnusable is returned by View and Update when the state file cannot be one (a symbolic link, a folder, a
	// device), and by Update when a damaged file could not be recovered. The file is left alone.
	ErrUnusable = errors.New("state file is unusable")
)

// Errors of writing the state.
var (
	// ErrWrite is returned by Update when the new state, or the lock file, could not be written: disk full, read-only file
	// system, folder missing. It wraps the cause. The previous state is untouched.
	ErrWrite = errors.New("state could not be written")
)

// damagedError is the internal verdict on a file that exists but does not hold a state: the reader goes on to the
// mirror.
type damagedError struct{ cause error }

func (e *damagedError) Error() string { return "damaged: " + e.cause.Error() }
func (e *damagedError) Unwrap() error { return e.cause }

func damaged(cause error) error { return &damagedError{cause: cause} }
