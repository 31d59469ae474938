package doctor

import "fmt"

// Remedies as a person types them here.

func makeFolder(dir string) string   { return "mkdir -p " + dir }
func moveAside(file string) string   { return "mv " + file + " " + file + ".off" }
func removeFile(file string) string  { return "rm " + file }
func keepPrivate(path string) string { return "chmod 600 " + path }
func seeRoom(dir string) string      { return "df " + dir }
func seeFiles(dir string) string     { return "df -i " + dir }

const makeWritable = "make it writable (mount -o remount,rw)"

func endOf(pid int) string {
	return fmt.Sprintf("see what it waits for (cat /proc/%d/stack); kill -9 %d frees the lock, also if it is stopped",
		pid, pid)
}
