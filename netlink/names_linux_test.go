package netlink

import (
	"testing"

	"github.com/Azure/azure-container-networking/test/lab"
)

// The tests that read what iproute2 and nft show, once more where every number has a name.
func TestTheMachinesNamesForNumbersDoNotMatter(t *testing.T) {
	t.Parallel()
	lab.AgainWithNames(t, "TestEnsureBridgeMovesTheHostsConfigurationAndRemoveBridgeRestoresIt",
		"TestAddPodGivesThePodItsAddressesRoutesAndMTU", "TestRemoveAddresses")
}
