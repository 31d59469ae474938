package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/Azure/azure-container-networking/network"
	"github.com/Azure/azure-container-networking/network/linux"
)

// conf is the configuration that libcni passes: a network that is there, and the pod with its addresses and routes.
type conf struct {
	CNIVersion string           `json:"cniVersion"`
	Network    network.Network  `json:"network"`
	Endpoint   network.Endpoint `json:"endpoint"`
	Lock       string           `json:"lock"` // file under which networks are made
}

func main() {
	if err := run(context.Background(), os.Getenv("CNI_COMMAND")); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, command string) error {
	var c conf
	if err := json.NewDecoder(os.Stdin).Decode(&c); err != nil {
		return err
	}
	plane := &linux.Dataplane{LockPath: c.Lock}
	switch command {
	case "ADD":
		if err := plane.CreateEndpoint(ctx, &c.Network, &c.Endpoint); err != nil {
			return err
		}
		_, err := fmt.Printf(`{"cniVersion":%q,"ips":[{"address":%q}]}`, c.CNIVersion, c.Endpoint.Addresses[0])
		return err
	case "DEL":
		return plane.DeleteEndpoint(ctx, &c.Network, &c.Endpoint)
	}
	return errors.New("CNI_COMMAND is neither ADD nor DEL")
}
