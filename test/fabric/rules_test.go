//go:build linux

package fabric

import (
	"net"
	"net/netip"
	"testing"
)

var (
	broadcast  = net.HardwareAddr{255, 255, 255, 255, 255, 255}
	foreignMAC = net.HardwareAddr{0x0a, 0x58, 10, 240, 1, 1}
	zeroMAC    = make(net.HardwareAddr, 6)
)

func request(nic NICConfig, sender, target netip.Addr) ARP {
	return ARP{EtherDst: broadcast, EtherSrc: nic.MAC, Operation: ARPRequest,
		SenderMAC: nic.MAC, SenderIP: sender, TargetIP: target}
}

// requireAnswer sends an ARP request and requires the virtual MAC as the
// answer that comes next. Where the kernel cannot answer by rules, a process does: it would say the same.
func requireAnswer(t *testing.T, nic NICConfig, frames *Frames, q ARP) {
	t.Helper()
	requireNoError(t, frames.Send(q.Frame()))
	frame := receive(t, frames, func(f []byte) bool { _, ok := ParseARP(f); return ok })
	got, _ := ParseARP(frame)
	virtual, _ := net.ParseMAC(VirtualMAC)
	want := ARP{EtherDst: q.SenderMAC, EtherSrc: virtual, Operation: ARPReply,
		SenderMAC: virtual, SenderIP: q.TargetIP, TargetMAC: q.SenderMAC, TargetIP: q.SenderIP}
	if string(got.Frame()) != string(want.Frame()) {
		t.Errorf("request %+v\nwas answered %+v,\nwant         %+v", q, got, want)
	}
	if process, err := nic.answersARP(q.Frame(), nic.Addresses()); err != nil || string(process) != string(want.Frame()) {
		t.Errorf("request %+v: a process answers %x, %v", q, process, err)
	}
}

// requireSilence requires that a process that answers ARP has no answer, either.
func requireSilence(t *testing.T, nic NICConfig, frame []byte) {
	t.Helper()
	if answer, err := nic.answersARP(frame, nic.Addresses()); err == nil {
		t.Errorf("%x is answered with %x", frame, answer)
	}
}

func TestEveryARPRequestIsAnsweredWithTheVirtualMAC(t *testing.T) {
	t.Parallel()
	f := Start(t, Default(2, 2))
	nic := f.VMs[0].Config.PrimaryNIC()
	frames := openTestFrames(t, f.VMs[0].Ns, "eth0")
	other := f.VMs[1].Config.PrimaryNIC()
	for _, target := range []netip.Addr{
		gateway, other.Address, other.Pods[1], nic.Pods[0], nic.Pods[1],
		netip.MustParseAddr("10.240.77.77"), // nobody's
		netip.MustParseAddr("8.8.8.8"),      // of another subnet
	} {
		requireAnswer(t, nic, frames, request(nic, nic.Address, target))
		requireAnswer(t, nic, frames, request(nic, nic.Pods[1], target))
		requireAnswer(t, nic, frames, request(nic, netip.IPv4Unspecified(), target)) // a probe
	}
	requireCounters(t, f, Counters{}, Counters{})
}

func TestARPRequestForTheOwnPrimaryIsNeverAnswered(t *testing.T) {
	t.Parallel()
	f := Start(t, Default(1, 1))
	nic := f.VMs[0].Config.PrimaryNIC()
	frames := openTestFrames(t, f.VMs[0].Ns, "eth0")
	for _, sender := range []netip.Addr{nic.Pods[0], nic.Address, netip.IPv4Unspecified()} {
		requireNoError(t, frames.Send(request(nic, sender, nic.Address).Frame()))
		requireSilence(t, nic, request(nic, sender, nic.Address).Frame())
	}
	// Counted means dropped; and the next answer is another request's.
	requireCounters(t, f, Counters{}, Counters{OwnAddressARP: 3})
	requireAnswer(t, nic, frames, request(nic, nic.Address, gateway))
}

func TestForeignFramesAreDroppedAndCounted(t *testing.T) {
	t.Parallel()
	f := Start(t, DefaultDual(2, 2))
	vm := f.VMs[0]
	nic, other := vm.Config.PrimaryNIC(), f.VMs[1].Config.PrimaryNIC()
	virtual, _ := net.ParseMAC(VirtualMAC)
	foreignSender := request(nic, nic.Pods[0], gateway)
	foreignSender.SenderMAC = foreignMAC
	announcement := request(nic, other.Address, other.Address)
	reply := ARP{EtherDst: virtual, EtherSrc: nic.MAC, Operation: ARPReply, SenderMAC: nic.MAC, TargetMAC: zeroMAC,
		SenderIP: gateway, TargetIP: gateway}
	tests := []struct {
		name  string
		frame []byte
		want  Counters
	}{
		{"source MAC", echoRequest(virtual, foreignMAC, nic.Pods[0], gateway), Counters{ForeignSource: 1}},
		{"source MAC of broadcast", echoRequest(broadcast, foreignMAC, nic.Pods[0], gateway), Counters{ForeignSource: 1}},
		{"ARP sender MAC", foreignSender.Frame(), Counters{ForeignARPSender: 1}},
		{"announcement of another's address", announcement.Frame(), Counters{ForeignAddress: 1}},
		{"reply for the gateway", reply.Frame(), Counters{ForeignAddress: 1}},
		{"IP source of another VM", echoRequest(virtual, nic.MAC, other.Address, gateway), Counters{ForeignAddress: 1}},
		{"IP source of nobody", echoRequest(virtual, nic.MAC, netip.MustParseAddr("10.240.9.9"), gateway), Counters{ForeignAddress: 1}},
		{"destination MAC", echoRequest(foreignMAC, nic.MAC, nic.Pods[0], gateway), Counters{Misdirected: 1}},
		{"destination of nobody", echoRequest(virtual, nic.MAC, nic.Pods[0], netip.MustParseAddr("10.240.9.9")), Counters{UnknownDestination: 1}},
		{"destination outside", echoRequest(virtual, nic.MAC, nic.Pods[0], netip.MustParseAddr("8.8.8.8")), Counters{UnknownDestination: 1}},
		{"solicitation with a foreign option", solicitation(nic, foreignMAC), Counters{ForeignNDPSender: 1}},
		{"solicitation with the own option", solicitation(nic, nic.MAC), Counters{}},
		{"broadcast", echoRequest(broadcast, nic.MAC, nic.Pods[0], netip.MustParseAddr("10.240.255.255")), Counters{}},
		{"good", echoRequest(virtual, nic.MAC, nic.Pods[0], gateway), Counters{}},
	}
	frames := openTestFrames(t, vm.Ns, "eth0")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before, err := f.Counters()
			requireNoError(t, err)
			requireNoError(t, frames.Send(test.frame))
			requireCounters(t, f, before, test.want)
			requireSilence(t, nic, test.frame)
		})
	}
	mine, err := vm.Counters()
	requireNoError(t, err)
	total, err := f.Counters()
	requireNoError(t, err)
	if mine != total || mine.Violations() == (Counters{}) {
		t.Errorf("vm1 alone sent, yet it counts %v of %v", mine, total)
	}
}

// solicitation is a neighbour solicitation for the NIC's first pod address
// with a source link-layer option.
func solicitation(nic NICConfig, option net.HardwareAddr) []byte {
	target := nic.Pods6[1].As16()
	f := make([]byte, etherHeader+40+32)
	copy(f, []byte{0x33, 0x33, 0xff, target[13], target[14], target[15]})
	copy(f[6:], nic.MAC)
	copy(f[12:], []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, protocolICMP6, 255})
	ip := f[etherHeader:]
	copy(ip[8:], nic.Pods6[0].AsSlice())
	copy(ip[24:], []byte{0xff, 2, 11: 1, 12: 0xff, 13: target[13], 14: target[14], 15: target[15]})
	icmp := ip[40:]
	icmp[0] = neighborSolicitation
	copy(icmp[8:], target[:])
	copy(icmp[24:], []byte{1, 1})
	copy(icmp[26:], option)
	pseudo := append(append([]byte{}, ip[8:40]...), 0, 0, 0, 32, 0, 0, 0, protocolICMP6)
	sum := checksum(append(pseudo, icmp...))
	icmp[2], icmp[3] = byte(sum>>8), byte(sum)
	return f
}

func TestSolicitationForAnotherAddressIsAnsweredWithTheVirtualMAC(t *testing.T) {
	t.Parallel()
	f := Start(t, DefaultDual(1, 2))
	nic := f.VMs[0].Config.PrimaryNIC()
	virtual, _ := net.ParseMAC(VirtualMAC)
	frames := openTestFrames(t, f.VMs[0].Ns, "eth0")
	requireNoError(t, frames.Send(solicitation(nic, nic.MAC)))
	frame := receive(t, frames, func(f []byte) bool {
		return len(f) >= etherHeader+72 && f[12] == 0x86 && f[etherHeader+40] == neighborAdvertisement
	})
	target := net.IP(frame[etherHeader+48 : etherHeader+64])
	if option := net.HardwareAddr(frame[etherHeader+66 : etherHeader+72]); option.String() != virtual.String() ||
		!target.Equal(nic.Pods6[1].AsSlice()) {
		t.Errorf("advertised %v at %v, want %v at %v", target, option, nic.Pods6[1], virtual)
	}
	requireCounters(t, f, Counters{}, Counters{})
}
