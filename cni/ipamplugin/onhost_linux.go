package ipamplugin

// onHostRemedy is for addresses of the pools that the host itself has.
const onHostRemedy = "cloud-init or SUSE's cloud-netconfig put on the host what Azure assigned to the NIC for pods; " +
	"take it off, for good: azure-vnet host release"
