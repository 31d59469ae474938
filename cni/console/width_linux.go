package console

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Width is how many columns the terminal has that w is; 0 if it is none.
func Width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	width := 0
	_ = conn.Control(func(fd uintptr) {
		if size, err := unix.IoctlGetWinsize(int(fd), unix.TIOCGWINSZ); err == nil {
			width = unknownWidth
			if size.Col > 0 {
				width = int(size.Col)
			}
		}
	})
	return width
}
