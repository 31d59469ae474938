package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

var versionName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+~-]*$`)

// install puts the release that is unpacked in a folder into place.
func (l layout) install(from, version string) error {
	if !versionName.MatchString(version) || version == before || version == replaced {
		return fmt.Errorf("%q is no version", version)
	}
	for _, name := range append(l.plugins(), conflist, "azure-vnet-install"+l.Ext) {
		if !exists(filepath.Join(from, name)) {
			return fmt.Errorf("%s has no %s: unpack an archive of the release there", from, name)
		}
	}
	s, err := l.readState()
	if err != nil {
		return err
	}
	if l.DryRun {
		l.Say(fmt.Sprintf("would install %s into %s; now there is %q", version, l.Bin, s.Current))
		return nil
	}
	if err = l.protect(); err != nil {
		return err
	}
	if err = l.offerARP(); err != nil {
		return err
	}
	if s, err = l.keepBefore(s); err != nil {
		return err
	}
	if err = l.keep(from, version); err != nil {
		return err
	}
	if s.Current != version {
		s = inUse{version, s.Current}
		if err = l.writeState(s); err != nil {
			return err
		}
	}
	if err = l.activate(version); err != nil {
		return err
	}
	l.Say("installed " + version)
	return l.forgetOthers(s)
}

// offerARP tells HNS the fabric's MAC if that is wanted, and else says that it could. It is the node's, not the
// plugins': uninstalling leaves it.
func (l layout) offerARP() error {
	told, err := l.RemoteARP(l.SetARP)
	switch {
	case err != nil:
		return err
	case told:
	case l.SetARP:
		l.Say("SDNRemoteArpMacAddress is set; HNS reads it when it starts: Restart-Service -Force hns on a drained node, " +
			"or reboot")
	default:
		l.Say("HNS is not told the MAC of Azure's network (SDNRemoteArpMacAddress), as on every node that Azure sets up: " +
			"--remote-arp sets it")
	}
	return nil
}

// replaced is the store's name for a version that is installed again, built anew: its files stay known as ours for a
// while.
const replaced = "replaced"

// keep copies what belongs to a version into the store.
func (l layout) keep(from, version string) error {
	if exists(l.version(version)) {
		if err := errors.Join(os.RemoveAll(l.version(replaced)),
			os.Rename(l.version(version), l.version(replaced))); err != nil {
			return err
		}
	}
	for _, name := range append(l.plugins(), conflist, "azure-vnet-install"+l.Ext) {
		if _, err := l.place(filepath.Join(from, name), filepath.Join(l.version(version), name)); err != nil {
			return err
		}
	}
	return nil
}

// keepBefore keeps the plugins that somebody else has put there. What somebody has changed of ours is damage, and no
// version.
func (l layout) keepBefore(s inUse) (inUse, error) {
	if s.Current != "" && s.Current != before {
		return s, nil
	}
	for _, p := range l.plugins() {
		path := filepath.Join(l.Bin, p)
		if ours, err := l.known(path, p); err != nil || ours || !exists(path) {
			if err != nil {
				return s, err
			}
			continue
		}
		l.Say("keeping " + path + " as the version before")
		if _, err := l.place(path, filepath.Join(l.version(before), p)); err != nil {
			return s, err
		}
		s.Current = before
	}
	return s, nil
}

func (l layout) forgetOthers(s inUse) error {
	entries, err := os.ReadDir(l.version(""))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if n := e.Name(); n != s.Current && n != s.Previous && n != before {
			err = errors.Join(err, os.RemoveAll(l.version(n)))
		}
	}
	return err
}

// activate puts the plugins of a version into place, and then its configuration.
func (l layout) activate(version string) error {
	for _, p := range l.plugins() {
		_, err := l.place(filepath.Join(l.version(version), p), filepath.Join(l.Bin, p))
		if errors.Is(err, fs.ErrNotExist) && version == before {
			err = remove(filepath.Join(l.Bin, p))
		}
		if err != nil {
			return err
		}
	}
	return l.configure(filepath.Join(l.version(version), conflist))
}

// configure replaces the configuration if nobody has changed it; else the new one goes beside the one that is there.
func (l layout) configure(from string) error {
	to := filepath.Join(l.Conf, conflist)
	ours, err := l.known(to, conflist)
	if err != nil {
		return err
	}
	if !exists(from) { // before
		if ours {
			err = remove(to)
		}
		return errors.Join(err, remove(to+".new"))
	}
	if ours || !exists(to) {
		_, err = l.place(from, to)
		return errors.Join(err, remove(to+".new"))
	}
	l.Say(to + " is yours and stays; the one of this version is " + to + ".new")
	_, err = l.place(from, to+".new")
	return err
}

func (l layout) rollback() error {
	s, err := l.readState()
	if err != nil {
		return err
	}
	if s.Previous == "" {
		return errors.New("there is no version before: install the one that you want")
	}
	if l.DryRun {
		l.Say("would go back from " + s.Current + " to " + s.Previous)
		return nil
	}
	s = inUse{s.Previous, s.Current}
	if err = l.writeState(s); err != nil {
		return err
	}
	if err = l.activate(s.Current); err != nil {
		return err
	}
	l.Say("went back from " + s.Previous + " to " + s.Current)
	return nil
}

// uninstall cleans up the host while the plugins are there yet, removes what they keep, and what we installed and
// nobody changed, and puts back what was there before.
func (l layout) uninstall() error {
	s, err := l.readState()
	if err != nil {
		return err
	}
	if s.Current == "" {
		return errors.New("nothing was installed by this program")
	}
	if l.DryRun {
		l.Say("would clean up the host, and remove " + s.Current)
		return nil
	}
	if s.Current != before {
		if err = l.Cleanup(filepath.Join(l.version(s.Current), l.plugins()[0]), l.State); err != nil {
			return fmt.Errorf("the host could not be cleaned up, and nothing was removed: %w", err)
		}
	}
	for _, name := range []string{conflist, conflist + ".new"} { // first, so that no pod is started any more
		if err = l.removeOurs(filepath.Join(l.Conf, name), conflist); err != nil {
			return err
		}
	}
	if s.Current != before {
		if err = l.forgetState(); err != nil {
			return err
		}
	}
	for _, p := range l.plugins() {
		if err = l.removeOurs(filepath.Join(l.Bin, p), p); err != nil {
			return err
		}
		kept := filepath.Join(l.version(before), p)
		if exists(kept) && !exists(filepath.Join(l.Bin, p)) {
			if _, err = l.place(kept, filepath.Join(l.Bin, p)); err != nil {
				return err
			}
		}
	}
	l.Say("removed " + s.Current)
	return os.RemoveAll(l.Store)
}

// forgetState removes what the plugins keep: states, their copies, locks, logs. After the cleanup it says nothing that
// anybody needs.
func (l layout) forgetState() error {
	files := []string{"azure-vnet-network.lock", "azure-vnet-owners.lock", "azure-vnet-ipam-refresh.lock",
		"azure-vnet-metrics.json", "azure-vnet-metrics.lock"}
	for _, p := range []string{"azure-vnet", "azure-vnet-ipam"} {
		files = append(files, p+".json", p+".json.bak", p+".lock", p+".log")
		rotated, err := filepath.Glob(filepath.Join(l.State, p+".log.[0-9]*"))
		if err != nil {
			return err
		}
		for _, r := range rotated {
			files = append(files, filepath.Base(r))
		}
	}
	var errs []error
	for _, f := range files {
		errs = append(errs, remove(filepath.Join(l.State, f)))
	}
	return errors.Join(errs...)
}

func (l layout) removeOurs(path, name string) error {
	ours, err := l.known(path, name)
	if err == nil && ours {
		err = remove(path)
	}
	return err
}
