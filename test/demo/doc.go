// Command demo shows the plugins at work: two simulated Azure VMs, four pods, who reaches whom.
package main
