package ipamplugin

// onHostRemedy is for addresses of the pools that the host itself has.
const onHostRemedy = "somebody put on the host what Azure assigned to the NIC for pods; take it off: " +
	"Remove-NetIPAddress"
