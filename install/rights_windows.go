package main

import "github.com/Azure/azure-container-networking/platform"

// restrict is what Azure's own nodes do: users may read and execute.
func restrict(dir string) error { return platform.Restrict(dir, platform.UsersRead) }

func writers(dir string) ([]string, error) { return platform.Writers(dir) }
