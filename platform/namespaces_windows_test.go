package platform

import (
	"fmt"
	"testing"
)

func TestAddressesOfEndpointsThatServeSomebody(t *testing.T) {
	const answer = `{"Success":true,"Output":[{"ID":"A","IPAddress":"10.240.0.5","IPv6Address":"fd00::5","State":2},{"IPAddress":"10.240.0.6","State":3},{"IPAddress":"10.240.0.7","State":1},` +
		`{"IPAddress":"10.240.0.8","State":4},{"IPAddress":"10.240.0.9","State":2,"IsRemoteEndpoint":true},{"IPAddress":"10.240.0.10"},{"State":2}]}`
	got, err := attachedAddresses(answer)
	if want := "[10.240.0.5 fd00::5 10.240.0.6 10.240.0.10]"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
	if got, err := attachedAddresses(`{"Success":true}`); len(got) > 0 || err != nil {
		t.Errorf("none: %v, %v", got, err)
	}
	for _, bad := range []string{"", "[]", `{"Success":false,"Error":"no"}`, `{"Success":true,"Output":{}}`} {
		if got, err := attachedAddresses(bad); err == nil {
			t.Errorf("%s: %v", bad, got)
		}
	}
}
