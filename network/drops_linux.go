package network

import "github.com/Azure/azure-container-networking/netlink"

// Drops says how many frames of pods were dropped, since the rules were made, and why.
func Drops() ([]Drop, error) {
	nft, err := netlink.OpenNFT()
	if err != nil {
		return nil, err
	}
	defer nft.Close()
	list, err := nft.Drops()
	if err != nil {
		return nil, err
	}
	var out []Drop
	for _, d := range list {
		out = append(out, Drop(d))
	}
	return out, nil
}
