package cni_test

// root is what an absolute path begins with.
const root = ""

// refusedHere are values that only Linux refuses.
var refusedHere = []refused{{"master", "eth 0", 7, "eth 0"}, {"master", "-f", 7, "-f"}}
