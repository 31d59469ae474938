//go:build windows

// Command namespace makes a network namespace of HCN, as containerd does before it calls a plugin, and prints its ID. With
// an ID it deletes that namespace. test/windows/by-hand.ps1 uses it.
package main

import (
	"fmt"
	"os"

	"github.com/Microsoft/hcsshim/hcn"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ids []string) error {
	if len(ids) == 0 {
		n, err := hcn.NewNamespace(hcn.NamespaceTypeHost).Create()
		if err == nil {
			fmt.Println(n.Id)
		}
		return err
	}
	n, err := hcn.GetNamespaceByID(ids[0])
	if err != nil {
		return err
	}
	return n.Delete()
}
