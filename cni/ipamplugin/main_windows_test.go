package ipamplugin

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/Azure/azure-container-networking/test/hnssim"
)

// Whoever looks for addresses in use asks HNS. On Wine that is the simulated one, with no endpoints.
func TestMain(m *testing.M) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err == nil {
		err = os.Setenv(hnssim.Address, l.Addr().String())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	hnssim.Serve(l, hnssim.Options{}) // it ends with the process
	os.Exit(m.Run())
}
