package ipam

import "os"

const refreshLockFlags = os.O_CREATE | os.O_RDWR
