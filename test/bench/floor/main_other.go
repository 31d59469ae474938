//go:build !linux

package main

import "log"

func main() { log.Fatal("floor needs the network namespaces of Linux") }
