package log

import (
	"io"
	"os"
	"time"

	"github.com/Azure/azure-container-networking/platform/plain"
	"golang.org/x/sys/windows"
)

// openAppend opens like os.OpenFile, but so that the file can be renamed while it is open (FILE_SHARE_DELETE), which a
// rotation needs, and without following a link. FILE_APPEND_DATA without FILE_WRITE_DATA makes each write an append.
// LockFileEx wants a handle that can read or write.
func openAppend(path string) (*plain.File, error) {
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
	return &plain.File{File: os.NewFile(uintptr(h), path)}, nil
}

// waiting is needed on Linux.
func waiting(*plain.File) error { return nil }

// appender writes each record under a lock. Windows appends in one piece on NTFS, but nobody promises it, and other
// file systems (SMB, and Wine on top of Linux) look for the end of the file first and write then.
//
// Nobody waits long for somebody who was stopped in the middle.
type appender struct{ f *plain.File }

func (a appender) Write(record []byte) (int, error) {
	locked := lockByte(a.f, writeLock) == nil
	for n := 0; !locked && n < writeTries; n++ {
		time.Sleep(writeRetry)
		locked = lockByte(a.f, writeLock) == nil
	}
	if locked {
		defer unlockByte(a.f, writeLock)
	}
	return a.f.Write(record) // a record that may be torn is better than none, and than a pod that waits for it
}

func appending(f *plain.File) io.Writer { return appender{f} }

// Locks on Windows keep others from writing to the locked range, so they are on bytes that no log ever reaches.
const (
	lockOffsetHigh = 1 << 30

	rotateLock = 0 // held while the file is renamed
	writeLock  = 1 // held while a record is written

	writeRetry = time.Millisecond
	writeTries = 1000
)

func tryLock(f *plain.File) bool {
	return lockByte(f, rotateLock) == nil
}

func unlock(f *plain.File) { unlockByte(f, rotateLock) } // closing the file unlocks it, too

func lockByte(f *plain.File, n uint32) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0,
		&windows.Overlapped{Offset: n, OffsetHigh: lockOffsetHigh})
}

func unlockByte(f *plain.File, n uint32) {
	_ = windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &windows.Overlapped{Offset: n, OffsetHigh: lockOffsetHigh})
}
