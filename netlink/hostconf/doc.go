// Package hostconf has the configuration of a host's interface: reads it, gives it to another interface and takes it
// off, and writes it down for the time after somebody deleted that.
package hostconf
