//go:build !linux

package main

import "fmt"

func main() { fmt.Println("Clusters are tested on Linux.") }
