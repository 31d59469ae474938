package cni

import "os"

// The standard streams of a command.
var (
	Stdout = os.Stdout
	Stderr = os.Stderr
)
