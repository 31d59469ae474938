package main

import (
	"errors"

	"github.com/Azure/azure-container-networking/install/selftest"
	"golang.org/x/sys/windows"
)

func newProber() (prober, error) {
	if !windows.GetCurrentProcessToken().IsElevated() {
		return prober{}, errors.New("selftest needs an administrator: HNS answers nobody else")
	}
	if windows.NewLazySystemDLL("vmcompute.dll").Load() != nil {
		return prober{}, errors.New("this Windows has no HNS: Install-WindowsFeature Containers, and reboot")
	}
	return prober{selftest.Windows(), selftest.Build, selftest.ThisHost}, nil
}
