//go:build linux

package install

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/Azure/azure-container-networking/test/fabric"
)

const (
	downloads = "/azure/download/" + older + "/"
	archive   = "azure-vnet-cni-linux-" + arch + "-" + older + ".tgz"
)

// site serves releases as GitHub lays them out, to one node.
func (m *machine) site(broken http.HandlerFunc) (env []string) {
	m.Helper()
	mux := http.NewServeMux()
	folder := http.FileServer(http.Dir(filepath.Join(releases, older)))
	mux.Handle(downloads, http.StripPrefix(downloads, folder))
	mux.Handle("/azure/latest/download/", http.RedirectHandler(downloads+"VERSION", http.StatusFound))
	mux.Handle("/reference/download/v1.9.1/", http.StripPrefix("/reference/download/v1.9.1/", folder))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &answered{ResponseWriter: w}
		if broken != nil {
			broken(answer, r)
		}
		if !answer.done {
			mux.ServeHTTP(w, r)
		}
	}))
	m.must(server.Listener.Close())
	var err error
	server.Listener, err = m.fabric.VMs[0].Ns.Listen("tcp", "127.0.0.1:8000")
	m.must(err)
	server.Start()
	m.Cleanup(server.Close)
	return []string{"AZURE_CNI_RELEASES=http://127.0.0.1:8000/azure", "CNI_PLUGINS_RELEASES=http://127.0.0.1:8000/reference"}
}

// answered tells whether a handler has answered already.
type answered struct {
	http.ResponseWriter
	done bool
}

func (a *answered) WriteHeader(code int) {
	a.done = true
	a.ResponseWriter.WriteHeader(code)
}

func (a *answered) Write(b []byte) (int, error) {
	a.done = true
	return a.ResponseWriter.Write(b)
}

// only answers one address in another way.
func only(path string, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			handler(w, r)
		}
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
}

// half is the first half of the archive. Cut off, the server promises the whole and is gone after the half.
func half(cutOff bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		whole, err := os.ReadFile(filepath.Join(releases, older, archive))
		if err != nil {
			panic(err)
		}
		if cutOff {
			w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
		}
		_, _ = w.Write(whole[:len(whole)/2])
		if cutOff {
			panic(http.ErrAbortHandler)
		}
	}
}

func flipped(w http.ResponseWriter, _ *http.Request) {
	whole, err := os.ReadFile(filepath.Join(releases, older, archive))
	if err != nil {
		panic(err)
	}
	whole = bytes.Clone(whole)
	whole[len(whole)/2] ^= 1
	_, _ = w.Write(whole)
}

type client struct{ name, userland, without string }

// clients are the programs that nodes download with.
func clients() []client {
	return []client{
		{"curl", distributions[0], ""},
		{"wget", distributions[len(distributions)-1], "/usr/bin/curl"},
		{"busybox", "busybox", ""},
	}
}

func (m *machine) online(env []string, args ...string) said {
	m.Helper()
	return m.run(env, "/bin/sh", append([]string{"/root/install-cni-plugin.sh"}, args...)...)
}

func TestOnlineInstallation(t *testing.T) {
	for _, c := range clients() {
		for _, args := range [][]string{{older}, {older, "v1.9.1"}, {}} {
			t.Run(c.name+" "+strings.Join(args, " "), func(t *testing.T) {
				m := newMachine(t, c.userland, fabric.Default(1, 1))
				m.without(c.without)
				if s := m.online(m.site(nil), args...); s.code != 0 || !strings.Contains(s.text, "installed "+older) {
					t.Fatalf("exit %d: %s", s.code, s.text)
				}
				m.wantVersion(older)
				for _, p := range []string{"loopback", "portmap"} {
					if !m.there("/opt/cni/bin/" + p) {
						t.Errorf("%s is missing", p)
					}
				}
			})
		}
	}
}

func (m *machine) without(program string) {
	m.Helper()
	if program != "" {
		m.must(os.Remove(m.path(program)))
	}
}

// Whatever the server does: nothing is installed, and the message says what was wrong.
func TestOnlineFailures(t *testing.T) {
	elsewhere := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/moved"+r.URL.Path, http.StatusFound)
	}
	for _, f := range []struct {
		name   string
		broken http.HandlerFunc
		want   []string
	}{
		{"wrong checksum", only(downloads+archive, flipped), []string{archive + " is damaged: its SHA-256 is "}},
		{"another file's checksum", only(downloads+archive+".sha256", text(strings.Repeat("0", 64)+"  x\n")), []string{"should be 0000"}},
		{"a page instead of a checksum", only(downloads+archive+".sha256",
			text("<html>please log in, and do it before you go any further</html>")), []string{".sha256 is no checksum"}},
		{"truncated file", only(downloads+archive, half(false)), []string{archive + " is damaged"}},
		{"server gone half way", only(downloads+archive, half(true)), []string{archive}},
		{"no such version", only(downloads+archive, status(http.StatusNotFound)),
			[]string{"cannot get ", archive, "404", "nothing was installed"}},
		{"no checksum", only(downloads+archive+".sha256", status(http.StatusNotFound)), []string{"cannot get ", archive + ".sha256", "404"}},
		{"server broken", only(downloads+archive, status(http.StatusInternalServerError)), []string{"cannot get ", archive, "500"}},
		{"redirect to nowhere", only(downloads+archive, elsewhere), []string{"cannot get ", archive, "404"}},
		{"reference plugins damaged", only("/reference/download/v1.9.1/cni-plugins-linux-"+arch+"-v1.9.1.tgz", half(false)),
			[]string{"cni-plugins-linux-" + arch + "-v1.9.1.tgz is damaged"}},
		{"reference plugins missing", only("/reference/download/v1.9.1/cni-plugins-linux-"+arch+"-v1.9.1.tgz", status(http.StatusNotFound)),
			[]string{"cannot get ", "cni-plugins-linux"}},
	} {
		for _, c := range clients() {
			t.Run(f.name+" with "+c.name, func(t *testing.T) {
				m := newMachine(t, c.userland, fabric.Default(1, 1))
				m.without(c.without)
				env := m.site(f.broken)
				files, network := m.files(), m.network()
				s := m.online(env, older)
				if s.code != 1 {
					t.Errorf("exit %d", s.code)
				}
				for _, want := range f.want {
					if !strings.Contains(s.text, want) {
						t.Errorf("%q is not said:\n%s", want, s.text)
					}
				}
				m.untouched(files, network)
			})
		}
	}
}

// A mirror may send its visitors on; a server that nobody has started is named.
func TestOnlineDetours(t *testing.T) {
	m := newMachine(t, distributions[0], fabric.Default(1, 1))
	env := m.site(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == downloads+archive && r.URL.RawQuery == "" {
			http.Redirect(w, r, r.URL.Path+"?mirror=2", http.StatusTemporaryRedirect)
		}
	})
	files, network := m.files(), m.network()
	s := m.online([]string{"AZURE_CNI_RELEASES=http://127.0.0.1:9/azure"}, older)
	if s.code != 1 || !strings.Contains(s.text, "cannot get http://127.0.0.1:9/azure/download/"+older) {
		t.Errorf("exit %d: %s", s.code, s.text)
	}
	m.untouched(files, network)
	if s = m.online(env, older); s.code != 0 {
		t.Errorf("exit %d: %s", s.code, s.text)
	}
	m.wantVersion(older)
	// A folder of a web server with what is in a release.
	if s = m.online(nil, "--from", "http://127.0.0.1:8000"+downloads); s.code != 0 || !strings.Contains(s.text, "is installed already") {
		t.Errorf("exit %d: %s", s.code, s.text)
	}
	// Neither program for downloads.
	m.without("/usr/bin/curl")
	m.without("/usr/bin/wget")
	if s = m.online(env, older); s.code != 3 || !strings.Contains(s.text, "neither curl nor wget is here") {
		t.Errorf("exit %d: %s", s.code, s.text)
	}
}
