//go:build !linux

package main

import "fmt"

func main() { fmt.Println("Kernels are tested on Linux.") }
