package console

// unknownWidth is that of a terminal that does not say how wide it is (a serial console): in columns.
const unknownWidth = 80
