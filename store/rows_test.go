package store

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// lines is a state with rows.
type lines struct {
	N    int
	text string
}

// Three pieces, as where something was removed.
func (l *lines) AppendRows(pieces []string) []string {
	a, b := len(l.text)/4, len(l.text)/2
	return append(pieces, l.text[:a], l.text[a:b], l.text[b:])
}

func (l *lines) ParseRows(text string) error {
	if strings.Contains(text, "bad") {
		return errors.New("bad rows")
	}
	l.text = text
	return nil
}

func TestRowsAreAMemberOfOneJSONDocument(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "azure-vnet.json")
	s := New(Options[lines]{Path: path, Boot: "boot-1"})
	for i, text := range []string{"", "one", strings.Repeat("10.240.0.5/a<b>&c ", 10_000)} {
		if err := s.Update(t.Context(), func(l *lines) error { l.N, l.text = i+1, text; return nil }); err != nil {
			t.Fatal(err)
		}
		var file struct {
			Generation int
			Rows       string
		}
		raw := read(t, path)
		if err := json.Unmarshal([]byte(raw), &file); err != nil || file.Rows != text {
			t.Fatalf("%v: the file has %.100q", err, file.Rows)
		}
		if err := s.Update(t.Context(), func(l *lines) error {
			if l.N != i+1 || l.text != text {
				t.Errorf("%d, %.100q", l.N, l.text)
			}
			return nil
		}); err != nil || read(t, path) != raw {
			t.Errorf("an update without a change (%v) writes", err)
		}
	}
}

// A person may have formatted the file.
func TestRowsOfAFileThatIsWrittenOtherwise(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		`{"schema":1,"bootID":"boot-1","generation":2,"data":{"N":7},"rows":"one two"}`,
		`{"rows":"one two","data":{"N":7},"schema":1,"bootID":"boot-1","generation":2}`,
		"{\"schema\":1,\n \"data\": {\"N\": 7},\n \"rows\": \"o\\u006ee two\"\n}\n",
		"{\"schema\":1,\"data\":{\"N\":7,\"x\":[1,\"rows\",\"a\"],\"rows\":\"other\"},\"rows\":\"one two\"}\n",
	} {
		path := filepath.Join(t.TempDir(), "azure-vnet.json")
		write(t, path, file)
		err := New(Options[lines]{Path: path}).View(t.Context(), func(l *lines) error {
			if l.N != 7 || l.text != "one two" {
				t.Errorf("%s: %d, %q", file, l.N, l.text)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestDamagedRowsAreReplacedByTheMirror(t *testing.T) {
	t.Parallel()
	const head = `{"schema":1,"bootID":"boot-1","generation":2,"written":"2026-11-21T23:45:00Z","data":{"N":7}`
	for name, content := range map[string]string{
		"no rows":          head + "}\n",
		"rows null":        head + `,"rows":null}` + "\n",
		"rows a list":      head + `,"rows":["one"]}` + "\n",
		"not closed":       head + `,"rows":"one`,
		"not ended":        head + `,"rows":"one"`,
		"NUL bytes":        head + `,"rows":"one ` + strings.Repeat("\x00", 64) + ` two"}` + "\n",
		"one control byte": head + `,"rows":"` + strings.Repeat("one two ", 9) + "\x1f" + strings.Repeat("one two ", 9) + `"}` + "\n",
		"control at end":   head + `,"rows":"` + strings.Repeat("one two ", 9) + "o\n" + `"}` + "\n",
		"not ASCII":        head + `,"rows":"` + strings.Repeat("one two ", 9) + "\xe9" + strings.Repeat("one two ", 9) + `"}` + "\n",
		"escaped quote":    head + `,"rows":"one \" two"}` + "\n",
		"escaped control":  head + `,"rows":"one \n two"}` + "\n",
		"two tails":        head + `,"rows":"one"}` + "\n" + `"}` + "\n",
		"what T refuses":   head + `,"rows":"bad"}` + "\n",
	} {
		path := filepath.Join(t.TempDir(), "azure-vnet.json")
		s := New(Options[lines]{Path: path, Boot: "boot-1"})
		if err := s.Update(t.Context(), func(l *lines) error { l.N, l.text = 1, "mirror"; return nil }); err != nil {
			t.Fatal(err)
		}
		write(t, path, content)
		err := s.View(t.Context(), func(l *lines) error {
			if l.N != 1 || l.text != "mirror" {
				t.Errorf("%s: %d, %q", name, l.N, l.text)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// plain looks at many bytes at a time: it must see each.
func TestPlainSeesEachByte(t *testing.T) {
	t.Parallel()
	for length := range 70 {
		good := []byte(strings.Repeat("~ !a9[]", 10)[:length])
		if !plain(string(good)) {
			t.Errorf("%q is not plain", good)
		}
		for at := range good {
			for c := range 256 {
				bad := append([]byte(nil), good...)
				bad[at] = byte(c)
				if want := c >= ' ' && c < 0x80 && c != '"' && c != '\\'; plain(string(bad)) != want {
					t.Fatalf("%q: plain is %t", bad, !want)
				}
			}
		}
	}
}
