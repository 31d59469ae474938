package network

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-container-networking/classic"
	"github.com/Azure/azure-container-networking/store"
)

// readable requires that what a store writes of the state it can read.
func readable(t *testing.T, s *State) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "azure-vnet.json")
	if err := store.New(store.Options[State]{Path: path, Schema: Schema}).Update(t.Context(),
		func(v *State) error { *v = *s; return nil }); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	st := store.New(store.Options[State]{Path: path, Schema: Schema, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := st.View(t.Context(), func(*State) error { return nil }); err != nil || log.Len() > 0 {
		t.Errorf("it cannot be read: %v %s", err, &log)
	}
}

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
	f.Add([]byte(`{"Network":{"ExternalInterfaces":{"eth0":{"BridgeName":"azure0","Networks":{"azure":{"Mode":"tunnel","Subnets":[{"Prefix":{"IP":"10.240.0.0","Mask":"//8AAA=="}}],"Endpoints":{"pod0-f0f-eth0":{"HostIfName":"azv1","MacAddress":"Ljpj8yjm","IPAddresses":[{"IP":"10.240.0.34","Mask":"//8AAA=="}],"ContainerID":"pod0-f0f0"},` +
		`"nobodys":{"HostIfName":"azv2","MacAddress":"Ljpj8yjn","IPAddresses":[{"IP":"10.240.0.35","Mask":"//8AAA=="}]},"a/b-eth0":{"HostIfName":"azv3","MacAddress":"Ljpj8yjo","IPAddresses":[{"IP":"10.240.0.36","Mask":"//8AAA=="}],"ContainerID":"a/b"}}}}}}}}`))
	f.Add([]byte(`{"Network":{"ExternalInterfaces":{"eth0":{"Networks":{"azure":{"Mode":"bridge","HnsId":"71c9","Subnets":[{"Prefix":{"IP":"10.240.0.0","Mask":"//8AAA=="}},{"Prefix":{"IP":"10.241.0.0","Mask":""}}],"Endpoints":{"pod0-f0f-eth0":{"HnsId":"e1","IPAddresses":[{"IP":"10.240.0.34","Mask":"//8AAA=="},{"IP":"10.240.0.35","Mask":""}],"ContainerID":"pod0-f0f0"}}}}}}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, _ := classic.Networks(raw)
		for _, c := range list { // as on Windows
			if c.HNSID != "" {
				readable(t, &State{Networks: map[string]*Network{c.Name: importHNS(c, ModeBridge, time.Unix(0, 0))}})
			}
		}
		s := &State{}
		if err := ImportClassic(raw, s, time.Unix(0, 0)); err != nil {
			return
		}
		readable(t, s)
		for name, n := range s.Networks {
			if n.HNSID != "" { // on Windows: in our form already
				continue
			}
			if n.Name != name || !n.Imported || n.Master == "" || (n.Bridge == "") != (n.Mode == ModeTransparent) {
				t.Errorf("network %q: %+v", name, n)
			}
			for e := range n.Endpoints.All() {
				if o, ok := ParseOwner(e.String()); !ok || o != e.Owner || !strings.HasPrefix(e.HostIfName, "azv") || strings.ContainsAny(e.HostIfName,
					"/ \n") || len(e.Addresses) == 0 {
					t.Errorf("endpoint %+v", e)
				}
			}
		}
	})
}
