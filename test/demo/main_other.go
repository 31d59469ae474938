//go:build !linux

package main

import "fmt"

func main() { fmt.Println("The demo needs Linux.") }
