package doctor

import "fmt"

// Remedies as a person types them in PowerShell.

func makeFolder(dir string) string  { return "New-Item -ItemType Directory -Force '" + dir + "'" }
func moveAside(file string) string  { return "Move-Item '" + file + "' '" + file + ".off'" }
func removeFile(file string) string { return "Remove-Item '" + file + "'" }
func seeRoom(dir string) string     { return "Get-Volume -FilePath '" + dir + "'" }
func seeFiles(dir string) string    { return seeRoom(dir) }

// keepPrivate is what Azure's own nodes do with C:\k.
func keepPrivate(path string) string {
	return "icacls '" + path + "' /inheritance:r /grant:r 'SYSTEM:(OI)(CI)F' 'Administrators:(OI)(CI)F' 'Users:(OI)(CI)RX'"
}

const makeWritable = "make it writable (icacls)"

func endOf(pid int) string {
	return fmt.Sprintf("see what it is (Get-Process -Id %d); Stop-Process -Force -Id %d frees the lock", pid, pid)
}
