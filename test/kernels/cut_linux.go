package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// notInAzureLinux3 are the modules of what its kernel configuration has "not set" among nftables and the bridge
// (microsoft/azurelinux, SPECS/kernel/config of version 3.0, a 6.6): NF_CONNTRACK_BRIDGE, NF_DUP_NETDEV,
// NFT_DUP_NETDEV, NFT_FWD_NETDEV, NFT_REJECT_NETDEV, NFT_FIB_IPV6 and what depends on it, NFT_SOCKET, NFT_OSF,
// NFT_SYNPROXY, NFT_XFRM, NF_FLOW_TABLE_INET, and with NF_TABLES_BRIDGE the bridge family's expressions. The family
// itself is no module: see withoutBridgeFamily.
var notInAzureLinux3 = []string{
	"nf_conntrack_bridge", "nf_dup_netdev", "nft_dup_netdev", "nft_fwd_netdev", "nft_reject_netdev",
	"nft_fib_ipv6", "nft_fib_inet", "nft_fib_netdev", "nft_socket", "nft_osf", "nft_synproxy", "nft_xfrm", "nf_flow_table_inet",
	"nft_meta_bridge", "nft_reject_bridge",
}

// cut takes from a tree of modules what Azure Linux 3 lacks.
func cut(modules string) error {
	patched := false
	err := filepath.WalkDir(modules, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _, _ := strings.Cut(d.Name(), ".ko")
		switch {
		case slices.Contains(notInAzureLinux3, name):
			return os.Remove(path)
		case name == "nf_tables":
			patched = true
			return withoutBridgeFamily(path)
		}
		return nil
	})
	if err == nil && !patched {
		err = fmt.Errorf("%s has no module nf_tables", modules)
	}
	return err
}

// The kernel's numbers of the families of nftables that its function nft_supported_family
// (net/netfilter/nf_tables_api.c) takes where all are configured: inet, ip, arp, netdev, bridge, ip6. The compiler
// makes one number of them, with a bit for each.
const (
	bridgeBit   = 1 << 7
	allFamilies = 1<<1 | 1<<2 | 1<<3 | 1<<5 | bridgeBit | 1<<10
)

// withoutBridgeFamily makes of the module nf_tables what CONFIG_NF_TABLES_BRIDGE=n makes: tables of the family are not
// supported (EOPNOTSUPP). It takes one bit from the function that makes tables, and the signature, which would be
// wrong: a module without one is loaded where there is no Secure Boot.
func withoutBridgeFamily(path string) error {
	const function = "nf_tables_newtable"
	module, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	symbols, err := f.Symbols()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	i := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == function })
	if i < 0 {
		return fmt.Errorf("%s: no function %s", path, function)
	}
	s := symbols[i]
	begin := f.Sections[s.Section].Offset + s.Value
	code, mask := module[begin:begin+s.Size], binary.LittleEndian.AppendUint32(nil, allFamilies)
	before, after, ok := bytes.Cut(code, mask)
	if !ok || bytes.Contains(after, mask) {
		return fmt.Errorf("%s: %s has not the mask of all families once: how it is to be cut has to be looked at again", path, function)
	}
	binary.LittleEndian.PutUint32(code[len(before):], allFamilies&^bridgeBit)
	return os.WriteFile(path, unsigned(module), 0o644)
}

// unsigned takes a module's signature away, which lies behind it: the signature, twelve bytes whose last four are its
// length, a magic text (include/linux/module_signature.h).
func unsigned(module []byte) []byte {
	rest, ok := bytes.CutSuffix(module, []byte("~Module signature appended~\n"))
	if !ok {
		return module
	}
	length := binary.BigEndian.Uint32(rest[len(rest)-4:])
	return rest[:len(rest)-12-int(length)]
}
