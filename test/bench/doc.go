// Command bench measures the plugins against what a user would pick instead: the reference plugins bridge with
// host-local for bridge and tunnel mode, ptp with host-local for transparent mode, in the same simulated VM. Calls
// alternate, so that whatever else the machine does hits all alike; medians and their ratios count, not times.
//
//	go run ./test/bench -bin output/linux_amd64 -reference output/reference -floor output/bench [-json FILE] [-only REGEXP]
//	go run ./test/bench -plot FOLDER -json FILE
//	go run ./test/bench -markdown -json FILE
package main
