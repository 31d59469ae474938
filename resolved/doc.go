// Package resolved reads and sets the DNS settings of links in systemd-resolved, by its D-Bus API
// (org.freedesktop.resolve1(5)). The host's addresses move to the bridge, and resolved asks only the DNS servers of
// links that have addresses.
package resolved

import "encoding/json"

// Settings are what somebody set for a link: values by the names of org.freedesktop.resolve1.Link's properties.
type Settings map[string]json.RawMessage
