// Package soak lets many workers use the built binaries for a while, as runtimes do, while everything goes wrong that
// may, and checks all the time what must hold whatever happens. "make soak MINUTES=10 SEED=7" runs it; docs/testing.md
// says what for.
//
// It needs root and AZURE_CNI_BIN, the folder of the two plugins. SOAK_SECONDS says how long (40), SOAK_SEED which
// random numbers: the same seed gives each worker, and the chaos of each VM, the same sequence of decisions.
package soak
