package console

import (
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// Width is how many columns the console has that w is; 0 if it is none.
func Width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	var info windows.ConsoleScreenBufferInfo
	if windows.GetConsoleScreenBufferInfo(windows.Handle(f.Fd()), &info) != nil {
		return 0
	}
	if width := int(info.Window.Right-info.Window.Left) + 1; width > 0 {
		return width
	}
	return unknownWidth
}
