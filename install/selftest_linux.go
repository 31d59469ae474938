package main

import "errors"

func newProber() (prober, error) { return prober{}, errors.New("selftest is for Windows") }
