package network

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzImportNetworks: the classic plugin's file may hold anything. What is taken from it names an owner, a host veth
// and addresses, so that everything of it can be taken away again.
func FuzzImportNetworks(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("..", "ipam", "testdata", "seeds", "networks-classic.json"))
	if err != nil || len(files) != 1 {
		f.Fatalf("seeds: %v, %v", files, err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"Network":{"ExternalInterfaces":{"eth0":{"BridgeName":"azure0","Networks":{"azure":{"Mode":"tunnel","Subnets":[{"Prefix":{"IP":"10.240.0.0","Mask":"//8AAA=="}}],"Endpoints":{"pod0-f0f-eth0":{"HostIfName":"azv1","MacAddress":"Ljpj8yjm","IPAddresses":[{"IP":"10.240.0.34","Mask":"//8AAA=="}],"ContainerID":"pod0-f0f0"}}}}}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := &State{}
		if err := ImportClassic(raw, s, time.Unix(0, 0)); err != nil {
			return
		}
		for name, n := range s.Networks {
			if n.Name != name || !n.Imported || n.Master == "" || (n.Bridge == "") != (n.Mode == ModeTransparent) {
				t.Errorf("network %q: %+v", name, n)
			}
			for e := range n.Endpoints.All() {
				if o, ok := ParseOwner(e.String()); !ok || o != e.Owner || !strings.HasPrefix(e.HostIfName, "azv") || strings.ContainsAny(e.HostIfName, "/ \n") || len(e.Addresses) == 0 {
					t.Errorf("endpoint %+v", e)
				}
			}
		}
	})
}
