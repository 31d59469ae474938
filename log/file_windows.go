package log

import (
	"os"

	"golang.org/x/sys/windows"
)

// openAppend opens like os.OpenFile, but so that the file can be renamed while it is open (FILE_SHARE_DELETE), which a
// rotation needs, and without following a link. FILE_APPEND_DATA without FILE_WRITE_DATA makes each write an append.
// LockFileEx wants a handle that can read or write.
func openAppend(path string) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	h, err := windows.CreateFile(name,
		windows.GENERIC_READ|windows.FILE_APPEND_DATA,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// Locks on Windows keep others from writing to the locked range, so the lock is on a byte that no log ever reaches.
const lockOffsetHigh = 1 << 30

func tryLock(f *os.File) bool {
	flags := uint32(windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY)
	return windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{OffsetHigh: lockOffsetHigh}) == nil
}

func unlock(f *os.File) { // closing the file unlocks it, too
	_ = windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &windows.Overlapped{OffsetHigh: lockOffsetHigh})
}
