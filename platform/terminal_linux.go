package platform

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// TerminalWidth is how many characters a line of the terminal has that is written to; 0 if it is none.
func TerminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}
