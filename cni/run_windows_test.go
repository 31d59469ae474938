package cni_test

import "os"

// deafOutputs are what a standard output may be that takes nothing. Windows has no /dev/full.
var deafOutputs = map[string]func() (*os.File, error){"a pipe that nobody reads": pipeThatNobodyReads}
