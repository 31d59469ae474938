package platform

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// timeOfDay is SYSTEM_TIMEOFDAY_INFORMATION. Times count 100 ns since 1601.
type timeOfDay struct {
	BootTime, CurrentTime, TimeZoneBias int64
	TimeZoneID, _                       uint32
	BootTimeBias, SleepTimeBias         uint64
}

// BootID returns what identifies the running boot of the machine: the time at which the kernel was booted, as the clock
// said then.
//
// The obvious way, now minus GetTickCount64, gives no identity: the two are read at different moments and count in
// steps of 16 ms, and worse, it moves with the clock. A node whose clock is set by an hour would believe that it was
// rebooted, and give away the addresses of its running pods. Rounding or a tolerance cures the first, not the second.
//
// So the kernel is asked for the boot time that it has stored. When the clock is set, the kernel moves that time along,
// and counts in BootTimeBias by how much (KeSetSystemTime in the Windows Research Kernel: "Track the overall bias
// applied to the boot time"). The difference is a constant of the boot, exact to the tick. Wine has no bias and never
// moves the boot time.
func BootID() (string, error) {
	var info timeOfDay
	var n uint32
	err := windows.NtQuerySystemInformation(windows.SystemTimeOfDayInformation,
		unsafe.Pointer(&info), uint32(unsafe.Sizeof(info)), &n)
	if err != nil {
		return "", fmt.Errorf("query boot time: %w", err)
	}
	if n < uint32(unsafe.Offsetof(info.SleepTimeBias)) || info.BootTime == 0 {
		return "", errors.New("query boot time: incomplete answer")
	}
	ticks := info.BootTime - int64(info.BootTimeBias)
	ft := windows.Filetime{LowDateTime: uint32(ticks), HighDateTime: uint32(ticks >> 32)}
	return time.Unix(0, ft.Nanoseconds()).UTC().Format("20060102T150405.0000000Z"), nil
}

// SinceBoot is how long the machine runs.
func SinceBoot() time.Duration { return windows.DurationSinceBoot() }
