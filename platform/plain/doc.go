// Package plain has regular files that are read and written by descriptors alone. An os.File is registered with a
// poller first, which no regular file can be waited for by, and has a finalizer: a system call and four microseconds
// for each of the twenty files that an ADD opens. On Windows there is no such poller, and a File is an os.File.
package plain

import (
	"io"
	"io/fs"
	"time"
)

var _ io.ReadWriteCloser = (*File)(nil)

// Info is what the system says of an open file.
type Info struct {
	Type     fs.FileMode // the type bits alone; 0 for a regular file
	Size     int64       // bytes
	Modified time.Time
	identity
}
