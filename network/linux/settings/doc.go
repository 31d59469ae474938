// Package settings changes a host's settings (sysctls) for a network, and notes what they were. Linux only; on other
// systems the package is empty.
package settings
