// Package manager brings networks and endpoints into being and takes them away: in which order, and what is undone when
// something fails.
package manager
