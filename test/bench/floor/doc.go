// Command floor does the kernel's part of an ADD or a DEL, and no more: the veth, its addresses, routes and neighbours,
// and the elements of the rules, by the same messages as the plugin. There is no configuration to read, nothing is
// looked at before, nothing is written down, and no address has to be found. What an ADD of the plugin takes beyond it
// is what its promises cost. test/bench measures it.
package main
