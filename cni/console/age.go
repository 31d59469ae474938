package console

import (
	"fmt"
	"time"
)

// Age is a time span as a person says it, in its largest unit that is more than one: "95s", "12m", "30h", "5d". What
// has not begun yet, since a clock was set, is "0s".
func Age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", max(0, d)/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/day)
}
