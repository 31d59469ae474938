package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/Azure/azure-container-networking/netlink/wire"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/google/nftables/xt"
	mdlayher "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ErrFeature says that the kernel lacks something of nftables that the rules need.
var ErrFeature = errors.New("the kernel lacks a feature of nftables")

// ErrNoTables says that it lacks all of it, or has not loaded it.
var ErrNoTables = fmt.Errorf("%w: it has no nftables (CONFIG_NF_TABLES, module nf_tables)", ErrFeature)

// Conn speaks nftables in the process's network namespace: over one socket by the library, and over one of its own for
// quick looks. It opens each when that is needed first.
type Conn struct {
	sockets *wire.Shared
	lib     *nftables.Conn
	raw     *wire.Socket
}

// Open is a Conn that takes its socket for quick looks from those that are shared. The library's is never shared: what
// it left unread after an error would be taken for the next answer.
func Open(sockets *wire.Shared) *Conn { return &Conn{sockets: sockets} }

// library is the library, with a socket. If there is none to be had, what needs it ends with that error: without a
// lasting socket the library opens one each time.
func (n *Conn) library() *nftables.Conn {
	if n.lib != nil {
		return n.lib
	}
	options := []nftables.ConnOption{nftables.WithSockOptions(roomy)}
	lib, err := nftables.New(append(options, nftables.AsLasting())...)
	if err != nil {
		lib, _ = nftables.New(options...) // opens nothing
	}
	n.lib = lib
	return lib
}

// roomy lets a transaction be as large as a full node's rules, and the kernel acknowledge each message of it: with 250
// pods in the netdev family more than its usual 208 KiB either way (EMSGSIZE, ENOBUFS). These are limits; nothing is
// allocated.
func roomy(conn *mdlayher.Conn) error {
	const limit = 8 << 20
	return errors.Join(conn.SetWriteBuffer(limit), conn.SetReadBuffer(limit))
}

// Close closes the sockets. After a deletion the kernel makes it wait for an RCU grace period, 8–18 ms.
func (n *Conn) Close() {
	if n.lib != nil {
		_ = n.lib.CloseLasting()
	}
	if n.raw != nil {
		n.raw.Close()
	}
}

// commit has the kernel do what was appended to the transaction. If that failed, it is forgotten: the next one would
// send it, too.
func (n *Conn) commit(err error) error {
	if err == nil {
		return n.library().Flush()
	}
	_ = n.library().CloseLasting()
	n.lib = nil
	return err
}

// RulesInPlace says whether the kernel's rules are the wanted ones. Whatever cannot be read counts as a
// difference: EnsureRules will tell what is wrong.
func (n *Conn) RulesInPlace(r Rules) bool {
	if !n.chainsInPlace(r) {
		return false
	}
	for _, a := range r.addressSets() {
		if have, err := n.addressesIn(a.set); err != nil || !slices.Equal(have, a.addrs) {
			return false
		}
	}
	return n.forwardInPlace(r)
}

// chainsInPlace compares the rules of the chains by their comments. A table is asked as a whole, unless it may have
// many more chains: each pod's in the netdev family, those of other networks on a host with several NICs.
func (n *Conn) chainsInPlace(r Rules) bool {
	type question struct {
		family nftables.TableFamily
		chain  string // "": all
	}
	answers := map[question]map[string][]string{}
	for _, c := range r.chains() {
		q := question{family: c.Table.Family}
		if r.Other != "" || q.family == nftables.TableFamilyNetdev {
			q.chain = c.Name
		}
		if answers[q] == nil {
			comments, err := n.comments(c.Table, q.chain)
			if err != nil {
				return false
			}
			answers[q] = comments
		}
		same := func(text string, r rule) bool { return text == r.comment() }
		if !slices.EqualFunc(answers[q][c.Name], c.rules, same) {
			return false
		}
	}
	return true
}

// commentOf is a rule's comment: nft's, or what iptables-save and iptables-restore have made of it.
func commentOf(r *nftables.Rule) string {
	if text, ok := userdata.GetString(r.UserData, userdata.TypeComment); ok {
		return text
	}
	for _, e := range r.Exprs {
		if m, ok := e.(*expr.Match); ok && m.Name == "comment" {
			if text, ok := m.Info.(*xt.Comment); ok {
				return string(*text)
			}
		}
	}
	return ""
}

// addressSet is a set of the host's own addresses.
type addressSet struct {
	set   *nftables.Set
	addrs []netip.Addr
}

// addressSets are those that the scope has. Where the host routes, it needs none.
func (r Rules) addressSets() (list []addressSet) {
	if r.Routed() {
		return nil
	}
	for _, v6 := range []bool{false, true} {
		list = append(list, addressSet{r.host(v6), r.hosts(v6)}, addressSet{r.local(v6), addressesOf(r.Local, v6)})
	}
	return list
}

func (r Rules) hosts(v6 bool) []netip.Addr { return addressesOf(r.Host, v6) }

// addressesOf are the addresses of a family, sorted.
func addressesOf(prefixes []netip.Prefix, v6 bool) []netip.Addr {
	var out []netip.Addr
	for _, p := range prefixes {
		if p.Addr().Is6() == v6 {
			out = append(out, p.Addr())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

// EnsureRules makes the network's chains and sets as wanted, in one transaction that loses no packet: what
// the maps hold stays, and the pods that are there already are in them from the first packet on. It takes an RCU grace
// period, so RulesInPlace is asked first.
// Error: ErrFeature.
func (n *Conn) EnsureRules(r Rules, pods ...Element) error {
	err := again(func() error { return n.ensureRules(r, pods) })
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) { // an address with another MAC
		err = again(func() error { return n.ensureRules(r, nil) })
		for _, pod := range pods {
			err = errors.Join(err, n.AddElements(pod))
		}
	}
	return err
}

// again runs what lists rules, and changes them in a transaction: until nobody, such as a firewall or the classic
// plugin, has taken one away in between. A kernel that lacks a feature says so each time; one that lacks the family
// says of all that follows that it is not there, too.
func again(change func() error) error { return upTo(often, change) }

// often is more than anybody changes rules beside one of ours.
const often = 20

func upTo(attempts int, change func() error) (err error) {
	for range attempts {
		if err = change(); !errors.Is(err, unix.ENOENT) || unsupported(err) {
			break
		}
	}
	return err
}

// unsupported recognises what a kernel says to a family, or a kind of object, that it does not have.
func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT)
}

func (n *Conn) ensureRules(r Rules, pods []Element) error {
	if r.Family == FamilyBridge && bridgeFamily != "yes" {
		return fmt.Errorf("%w: no bridge family", ErrFeature)
	}
	chains := r.chains()
	obsolete, err := n.obsolete(r.Scope, chains)
	if err != nil {
		return err
	}
	if err := n.commit(n.appendRules(r, chains, obsolete, pods)); err != nil {
		return fmt.Errorf("install nftables rules of %s: %w", r.Name, featureError(err))
	}
	return nil
}

// appendRules appends all of it to the transaction.
func (n *Conn) appendRules(r Rules, chains []chain, obsolete []*nftables.Chain, pods []Element) error {
	for _, set := range r.all() {
		n.library().AddTable(set.Table)
		if err := n.library().AddSet(set, nil); err != nil {
			return fmt.Errorf("nftables set %s: %w", set.Name, err)
		}
	}
	for _, a := range r.addressSets() {
		n.library().FlushSet(a.set)
		for some := range slices.Chunk(a.addrs, maxElements) {
			var elements []nftables.SetElement
			for _, addr := range some {
				elements = append(elements, nftables.SetElement{Key: addr.AsSlice()})
			}
			if err := n.library().SetAddElements(a.set, elements); err != nil {
				return fmt.Errorf("nftables set %s: %w", a.set.Name, err)
			}
		}
	}
	for _, c := range chains {
		n.library().AddTable(c.Table)
		n.library().AddChain(&c.Chain)
		n.library().FlushChain(&c.Chain)
	}
	for _, c := range chains {
		n.addRules(c)
	}
	n.deleteChains(obsolete)
	if err := n.addPods(pods); err != nil {
		return err
	}
	if r.Classic != nil {
		if err := n.forgetClassic(r.Master, r.Classic); err != nil {
			return err
		}
	}
	return n.ensureForward(r)
}

func (n *Conn) addRules(c chain) {
	for _, rule := range c.rules {
		n.library().AddRule(&nftables.Rule{Table: c.Table, Chain: &c.Chain, Exprs: rule.exprs,
			UserData: userdata.AppendString(nil, userdata.TypeComment, rule.comment())})
	}
}

// featureError recognises what a kernel says that lacks a family, a chain type or an expression.
func featureError(err error) error {
	if unsupported(err) || errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("%w: %w", ErrFeature, err)
	}
	return err
}

// listError recognises what a kernel says to a question about nftables that it does not have (nfnetlink_rcv_msg). A
// transaction is no way to find that out: the kernel answers all of it with one error, and the library waits for one
// for each message.
func listError(err error) error {
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: %w", ErrNoTables, err)
	}
	return featureError(err)
}

// obsolete are the scope's chains that are there, but not among the wanted.
func (n *Conn) obsolete(s Scope, wanted []chain) ([]*nftables.Chain, error) {
	own, keep := map[string]bool{}, map[string]bool{}
	for _, name := range slices.Concat([]string{"from-fabric", "to-fabric", "pre", "prerouting", "post", "in", "out"},
		chainsOfPods, optionalChains) {
		own[s.chainName(name)] = true
	}
	for _, c := range wanted {
		keep[c.Name] = true
	}
	var out []*nftables.Chain
	for _, f := range s.families() {
		chains, err := n.library().ListChainsOfTableFamily(f.table().Family)
		if err != nil {
			return nil, fmt.Errorf("list nftables chains: %w", listError(err))
		}
		for _, c := range chains {
			mine := own[c.Name] || s.ofPod(c) && wanted == nil
			if c.Table.Name == TableName && mine && !keep[c.Name] {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// deleteChains appends to the transaction what takes chains away that may jump to each other.
func (n *Conn) deleteChains(chains []*nftables.Chain) {
	for _, c := range chains {
		n.library().FlushChain(c)
	}
	for _, c := range chains {
		n.library().DelChain(c)
	}
}

// RemoveRules removes the scope's chains and sets, and each table with the last of them.
func (n *Conn) RemoveRules(s Scope) error {
	if err := again(func() error { return n.removeRules(s) }); err != nil {
		return fmt.Errorf("remove nftables rules of %s: %w", s.Name, err)
	}
	return n.removeEmptyTables()
}

func (n *Conn) removeRules(s Scope) error {
	chains, err := n.obsolete(s, nil)
	if err != nil {
		return err
	}
	n.deleteChains(chains)
	for _, f := range s.families() {
		sets, err := n.library().GetSets(f.table())
		if err != nil {
			continue // there is no table
		}
		for _, set := range sets {
			if s.has(set) {
				n.library().DelSet(set)
			}
		}
	}
	return n.commit(n.ensureForward(Rules{Scope: s}))
}

// removeEmptyTables removes the tables of ours that hold nothing any more.
func (n *Conn) removeEmptyTables() error {
	for _, f := range families {
		t := f.table()
		sets, err := n.library().GetSets(t)
		if err != nil || len(sets) > 0 {
			continue // no table, or one that is needed
		}
		chains, err := n.library().ListChainsOfTableFamily(t.Family)
		if err != nil || slices.ContainsFunc(chains, func(c *nftables.Chain) bool { return c.Table.Name == TableName }) {
			continue
		}
		n.library().AddTable(t) // so that deleting one that is gone is no error
		n.library().DelTable(t)
		if err := n.library().Flush(); err != nil {
			return fmt.Errorf("remove nftables table %s: %w", t.Name, err)
		}
	}
	return nil
}
