//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A stand-in for the classic plugin, which this test binary is under its names: it takes the same locks and writes the
// same files in the same order, and makes pods as it does. What is told to it stands in the configuration, of which
// other plugins ignore that.
type standIn struct {
	program string
	conf    struct {
		DataDir, Mode string
		StandIn       struct {
			Locks string // flock, as 1.4 and newer have it, or file
			Old   bool   // its ebtables are the legacy ones (takeover_legacy_test.go)
			Pause string // as long as this file is there, an ADD stops between its address and its state
		}
	}
	raw                        []byte
	containerID, netns, ifName string
}

// harm is what the classic plugin does to a node where its state has no network: the host's is gone afterwards.
const harm = "the-classic-plugin-took-the-network-for-new"

func standInMain(program string) int {
	s := &standIn{program: program, containerID: os.Getenv("CNI_CONTAINERID"), netns: os.Getenv("CNI_NETNS"), ifName: os.Getenv("CNI_IFNAME")}
	s.raw, _ = readAll(os.Stdin)
	err := json.Unmarshal(s.raw, &s.conf)
	if err == nil {
		err = s.run(os.Getenv("CNI_COMMAND"))
	}
	if err != nil {
		fmt.Printf(`{"code":100,"msg":%q}`+"\n", "the classic plugin: "+err.Error())
		return 1
	}
	return 0
}

func readAll(f *os.File) ([]byte, error) {
	var b bytes.Buffer
	_, err := b.ReadFrom(f)
	return b.Bytes(), err
}

func (s *standIn) run(command string) error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	key := map[string]string{"azure-vnet": "Network", "azure-vnet-ipam": "IPAM"}[s.program]
	state, err := s.read(key)
	if err != nil {
		return err
	}
	do := map[string]func(map[string]any) error{"Network ADD": s.add, "Network DEL": s.del, "IPAM ADD": s.give, "IPAM DEL": s.take}[key+" "+
		command]
	if do == nil {
		return fmt.Errorf("command %q", command)
	}
	if err := do(state); err != nil {
		return err
	}
	return s.write(key, state)
}

func (s *standIn) file() string { return filepath.Join(s.conf.DataDir, s.program+".json") }

func (s *standIn) lock() (unlock func(), err error) {
	if s.conf.StandIn.Locks == "file" {
		path := s.file() + ".lock"
		for {
			f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o664)
			if err == nil {
				_, err = f.WriteString(strconv.Itoa(os.Getpid()))
				return func() { _ = os.Remove(path) }, errors.Join(err, f.Close())
			}
			if !errors.Is(err, fs.ErrExist) {
				return nil, err
			}
			time.Sleep(20 * time.Millisecond) // so does the classic plugin
		}
	}
	dir := filepath.Join(s.conf.DataDir, "azure-vnet")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, s.program+".lock"), os.O_CREATE|os.O_RDWR, 0o664)
	if err != nil {
		return nil, err
	}
	return func() { _ = f.Close() }, unix.Flock(int(f.Fd()), unix.LOCK_EX)
}

// read reads the part of the file that is the program's. One without it is taken for a node that has no network yet.
func (s *standIn) read(key string) (map[string]any, error) {
	raw, err := os.ReadFile(s.file())
	if err != nil {
		return nil, err
	}
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	state := map[string]any{}
	if doc[key] == nil {
		return nil, errors.Join(errors.New("no state"), os.WriteFile(filepath.Join(s.conf.DataDir, harm), []byte(s.program), 0o600))
	}
	return state, json.Unmarshal(doc[key], &state)
}

func (s *standIn) write(key string, state map[string]any) error {
	text, err := json.MarshalIndent(map[string]any{key: state}, "", "\t")
	if err != nil {
		return err
	}
	temp := fmt.Sprintf("%s.%d", s.file(), os.Getpid())
	if err := os.WriteFile(temp, text, 0o644); err != nil {
		return err
	}
	return os.Rename(temp, s.file())
}

func within(m map[string]any, keys ...string) map[string]any {
	for _, k := range keys {
		m, _ = m[k].(map[string]any)
	}
	return m
}

func endpointsIn(state map[string]any) map[string]any {
	return within(state, "ExternalInterfaces", "eth0", "Networks", "azure", "Endpoints")
}

func (s *standIn) id() string { return s.containerID[:8] + "-" + s.ifName }

func (s *standIn) veth() string { return "azv" + s.containerID[:8] + "cc" }

func (s *standIn) add(state map[string]any) error {
	out, err := s.ipam("ADD")
	if err != nil {
		return err
	}
	var given struct{ IPs []struct{ Address string } }
	if err := json.Unmarshal(out, &given); err != nil || len(given.IPs) == 0 {
		return fmt.Errorf("IPAM says %s: %w", out, err)
	}
	for s.conf.StandIn.Pause != "" {
		if _, err := os.Stat(s.conf.StandIn.Pause); err != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	ip, _, err := net.ParseCIDR(given.IPs[0].Address)
	if err != nil {
		return err
	}
	mac := net.HardwareAddr{0xb2, 0x00, ip.To4()[0], ip.To4()[1], ip.To4()[2], ip.To4()[3]}
	if err := s.connect(ip.String(), mac.String()); err != nil {
		return errors.Join(err, s.disconnect(ip.String(), mac.String()))
	}
	endpointsIn(state)[s.id()] = map[string]any{
		"Id": s.id(), "IfName": s.veth(), "HostIfName": s.veth(), "MacAddress": []byte(mac), "ContainerID": s.containerID,
		"NetworkNameSpace": s.netns,
		"IPAddresses":      []any{map[string]any{"IP": ip.String(), "Mask": []byte{255, 255, 0, 0}}},
		"Routes":           []any{map[string]any{"Dst": map[string]any{"IP": "0.0.0.0", "Mask": []byte{0, 0, 0, 0}}, "Gw": "10.240.0.1"}},
	}
	fmt.Printf(`{"cniVersion":"0.3.0","interfaces":[{"name":"eth0"}],"ips":[{"version":"4","address":"%s/16","gateway":"10.240.0.1"}],"routes":[{"dst":"0.0.0.0/0","gw":"10.240.0.1"}]}`+"\n", ip)
	return nil
}

func (s *standIn) del(state map[string]any) error {
	e, known := endpointsIn(state)[s.id()].(map[string]any)
	if !known {
		return nil
	}
	ip, _ := e["IPAddresses"].([]any)[0].(map[string]any)["IP"].(string)
	text, _ := e["MacAddress"].(string)
	var mac []byte
	if err := json.Unmarshal([]byte(`"`+text+`"`), &mac); err != nil {
		return err
	}
	if err := s.disconnect(ip, net.HardwareAddr(mac).String()); err != nil {
		return err
	}
	delete(endpointsIn(state), s.id())
	_, err := s.ipam("DEL")
	return err
}

// ipam calls the IPAM plugin that is there, whose ever it is by now.
func (s *standIn) ipam(command string) ([]byte, error) {
	dir, _, _ := strings.Cut(os.Getenv("CNI_PATH"), ":")
	cmd := exec.Command(filepath.Join(dir, "azure-vnet-ipam"))
	cmd.Env, cmd.Stdin = append(os.Environ(), "CNI_COMMAND="+command), bytes.NewReader(s.raw)
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("IPAM %s: %w: %s", command, err, out)
	}
	return out, err
}

func (s *standIn) rule(ip, mac string) string {
	return "-p IPv4 -i eth0 --ip-dst " + ip + " -j dnat --to-dst " + mac + " --dnat-target ACCEPT"
}

// connect makes what the listings show of a pod (connect of takeover_test.go).
func (s *standIn) connect(ip, mac string) error {
	v := s.veth()
	lines := []string{"ip link add " + v + " type veth peer name eth0 address " + mac + " netns " + s.netns, "ip link set " + v + " up"}
	in := "nsenter --net=" + s.netns + " "
	if s.conf.Mode == "transparent" {
		lines = append(lines, "ip link set "+v+" address aa:aa:aa:aa:aa:aa", "ip route add "+ip+" dev "+v+" proto static", in+
			"ip link set eth0 up",
			in+"ip addr add "+ip+"/16 dev eth0 noprefixroute", in+"ip route add 169.254.1.1 dev eth0 scope link", in+
				"ip route add default via 169.254.1.1 dev eth0",
			in+"ip neigh add 169.254.1.1 lladdr aa:aa:aa:aa:aa:aa dev eth0 nud permanent")
		return runAll(lines...)
	}
	if s.conf.StandIn.Old { // which stay when the pod goes: what is forgotten there shall do no harm
		lines = append(lines, "nft insert rule bridge legacy pre iifname eth0 ip daddr "+ip+" ether daddr set "+mac+" accept")
	} else {
		lines = append(lines, "ebtables-nft -t nat -A PREROUTING "+s.rule(ip, mac))
	}
	lines = append(lines, "ip link set "+v+" master azure0", "bridge link set dev "+v+" hairpin on")
	if s.conf.Mode == "bridge" {
		lines = append(lines, "ip neigh replace "+ip+" lladdr "+mac+" dev azure0 nud permanent")
	}
	return runAll(append(lines, in+"ip link set eth0 up", in+"ip addr add "+ip+"/16 dev eth0", in+
		"ip route add default via 10.240.0.1 dev eth0")...)
}

func (s *standIn) disconnect(ip, mac string) error {
	_ = runAll("ip link del " + s.veth()) // gone with the pod, perhaps
	if s.conf.Mode == "transparent" {
		return nil
	}
	if !s.conf.StandIn.Old {
		_ = runAll("ebtables-nft -t nat -D PREROUTING " + s.rule(ip, mac))
	}
	_ = runAll("ip neigh del " + ip + " dev azure0")
	return nil
}

func runAll(lines ...string) error {
	for _, line := range lines {
		args := strings.Fields(line)
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
	}
	return nil
}

func (s *standIn) give(state map[string]any) error {
	addresses := within(state, "AddressSpaces", "local", "Pools", "10.240.0.0/16", "Addresses")
	for a, r := range addresses {
		record, _ := r.(map[string]any)
		if record["InUse"] == false {
			record["InUse"], record["ID"] = true, s.containerID
			fmt.Printf(`{"cniVersion":"0.3.0","ips":[{"version":"4","address":"%s/16","gateway":"10.240.0.1"}]}`+"\n", a)
			return nil
		}
	}
	return errors.New("no address is free")
}

func (s *standIn) take(state map[string]any) error {
	for _, r := range within(state, "AddressSpaces", "local", "Pools", "10.240.0.0/16", "Addresses") {
		if record, _ := r.(map[string]any); record["ID"] == s.containerID {
			record["InUse"], record["ID"] = false, ""
		}
	}
	return nil
}
