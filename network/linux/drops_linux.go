package linux

import (
	"github.com/Azure/azure-container-networking/nft"

	"github.com/Azure/azure-container-networking/network"
)

// Drops says how many frames of pods were dropped, since the rules were made, and why.
func Drops() ([]network.Drop, error) {
	conn := nft.Open(nil)
	defer conn.Close()
	list, err := conn.Drops()
	if err != nil {
		return nil, err
	}
	var out []network.Drop
	for _, d := range list {
		out = append(out, network.Drop(d))
	}
	return out, nil
}
