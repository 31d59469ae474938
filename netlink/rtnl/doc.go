// Package rtnl has rtnetlink's messages: what the kernel says of addresses, routes, nexthop objects, neighbours and
// policy rules, the requests that give the same to another interface, and batches of requests.
package rtnl
