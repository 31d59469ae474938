package store

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// names is a state with records.
type names struct {
	N    int
	list []string

	parsed int // how many records were not known yet
}

func (s *names) AppendRecords(b []byte, line func([]byte) []byte) []byte {
	for _, name := range s.list {
		b = append(AppendString(append(line(b), `{"name":`...), name), '}')
	}
	return b
}

func (s *names) ParseRecord(r *Reader) (any, error) {
	var record struct{ name string }
	r.Object(func(key string) {
		if text := r.String(); key == "name" {
			record.name = text
		}
	})
	if record.name == "bad" {
		return nil, errors.New("a bad name")
	}
	s.parsed++
	return &record.name, r.Err()
}

func (s *names) EnterRecord(record any, _ string) error {
	name, is := record.(*string)
	if !is {
		return errors.New("it is not what ParseRecord returned")
	}
	s.list = append(s.list, *name)
	return nil
}

// A person can read the file: grep finds a record with all that is in it, and whoever reads JSON reads all.
func TestRecordsAreLinesOfOneJSONDocument(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "azure-vnet.json")
	s := New(Options[names]{Path: path, Boot: "boot-1"})
	var numbers []string
	for i := range 10_000 {
		numbers = append(numbers, strconv.Itoa(i))
	}
	for i, list := range [][]string{{}, {"one"}, {"one", `a "quoted" \ name`, "é\n", "<b>&"}, numbers} {
		if err := s.Update(t.Context(), func(l *names) error { l.N, l.list = i+1, list; return nil }); err != nil {
			t.Fatal(err)
		}
		var file struct {
			Generation int
			Data       struct{ N int }
			Records    []struct{ Name string }
		}
		raw := read(t, path)
		if err := json.Unmarshal([]byte(raw), &file); err != nil || file.Generation != i+1 || file.Data.N != i+1 ||
			len(file.Records) != len(list) {
			t.Fatalf("%v: the file has %.200s", err, raw)
		}
		for at, line := range strings.Split(raw, "\n")[1:][:len(list)] {
			var record struct{ Name string }
			if err := json.Unmarshal([]byte(strings.TrimSuffix(line, ",")), &record); err != nil || record.Name != list[at] ||
				file.Records[at].Name != list[at] {
				t.Fatalf("line %q instead of record %q: %v", line, list[at], err)
			}
		}
		if err := s.Update(t.Context(), func(l *names) error {
			if l.N != i+1 || !slices.Equal(l.list, list) {
				t.Errorf("%d, %.100q", l.N, l.list)
			}
			return nil
		}); err != nil || read(t, path) != raw {
			t.Errorf("an update without a change (%v) writes", err)
		}
	}
}

// A person may have formatted the file.
func TestRecordsOfAFileThatIsWrittenOtherwise(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		`{"schema":1,"bootID":"boot-1","generation":2,"data":{"N":7},"records":[{"name":"one"},{"name":"two"}]}`,
		`{"records":[{"name":"one"},{"name":"two"}],"data":{"N":7},"schema":1,"bootID":"boot-1","generation":2}`,
		"{\n \"schema\" : 1,\n \"data\": {\"N\": 7},\n \"records\": [\n {\n \"name\": \"o\\u006ee\"\n " +
			"},{\"name\":\"two\",\"name2\":\"[}\\\\\"}\n]}\n",
	} {
		path := filepath.Join(t.TempDir(), "azure-vnet.json")
		write(t, path, file)
		err := New(Options[names]{Path: path}).View(t.Context(), func(l *names) error {
			if l.N != 7 || l.list[0] != "one" || l.list[1] != "two" {
				t.Errorf("%s: %d, %q", file, l.N, l.list)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestDamagedRecordsAreReplacedByTheMirror(t *testing.T) {
	t.Parallel()
	const head = `{"schema":1,"bootID":"boot-1","generation":2,"written":"2026-11-21T23:45:00Z","data":{"N":7}`
	for name, content := range map[string]string{
		"no records":        head + "}\n",
		"records null":      head + `,"records":null}` + "\n",
		"records an object": head + `,"records":{"name":"one"}}` + "\n",
		"not closed":        head + `,"records":[{"name":"one"}`,
		"not ended":         head + `,"records":[{"name":"one"}]`,
		"half a record":     head + `,"records":[` + "\n" + `{"name":"one"},` + "\n" + `{"name":"tw`,
		"a line less":       head + `,"records":[` + "\n" + `{"name":"one"},` + "\n]}\n",
		"no comma":          head + `,"records":[` + "\n" + `{"name":"one"}` + "\n" + `{"name":"two"}` + "\n]}\n",
		"NUL bytes":         head + `,"records":[` + "\n" + `{"name":"one"},` + strings.Repeat("\x00", 64) + "\n]}\n",
		"a control byte":    head + `,"records":[` + "\n" + `{"name":"o` + "\x1f" + `e"}` + "\n]}\n",
		"a broken escape":   head + `,"records":[` + "\n" + `{"name":"o\qe"}` + "\n]}\n",
		"a number":          head + `,"records":[` + "\n" + `{"name":7}` + "\n]}\n",
		"two tails":         head + `,"records":[` + "\n" + `{"name":"one"}` + "\n]}\n]}\n",
		"what T refuses":    head + `,"records":[` + "\n" + `{"name":"bad"}` + "\n]}\n",
	} {
		path := filepath.Join(t.TempDir(), "azure-vnet.json")
		s := New(Options[names]{Path: path, Boot: "boot-1"})
		if err := s.Update(t.Context(), func(l *names) error { l.N, l.list = 1, []string{"mirror"}; return nil }); err != nil {
			t.Fatal(err)
		}
		write(t, path, content)
		err := s.View(t.Context(), func(l *names) error {
			if l.N != 1 || !slices.Equal(l.list, []string{"mirror"}) {
				t.Errorf("%s: %d, %q", name, l.N, l.list)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A command reads its state many times: a record that it knows is not parsed again, and whatever another process made
// of the file counts.
func TestRecordsThatAreKnownAreNotParsedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "azure-vnet.json")
	ours, other := New(Options[names]{Path: path, Boot: "boot-1"}), New(Options[names]{Path: path, Boot: "boot-1"})
	for i, step := range []struct {
		list []string
		new  int
	}{
		{[]string{"a", "b", "c"}, 3},
		{[]string{"a", "b", "c"}, 0},
		{[]string{"a", "b2", "c", "d"}, 2},
		{[]string{"a", "c", "d"}, 0},
		{[]string{"d", "a"}, 1}, // in another order only what comes first is known
		{[]string{"d", "a", "c"}, 1},
		{[]string{"d", "d", "c"}, 1}, // what is there twice is known once: who reads it finds that out
	} {
		if err := other.Update(t.Context(), func(l *names) error { l.N, l.list = i, step.list; return nil }); err != nil {
			t.Fatal(err)
		}
		err := ours.View(t.Context(), func(l *names) error {
			if !slices.Equal(l.list, step.list) || l.parsed != step.new {
				t.Errorf("%q: %q, %d new", step.list, l.list, l.parsed)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
