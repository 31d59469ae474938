package platform

import (
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// TerminalWidth is how many characters a line of the terminal has that is written to; 0 if it is none.
func TerminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(windows.Handle(f.Fd()), &info); err != nil {
		return 0
	}
	return int(info.Window.Right - info.Window.Left + 1)
}
