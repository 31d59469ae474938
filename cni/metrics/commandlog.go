package metrics

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What commands did is counted by reading the logs, which have a line for each: a counter that each ADD wrote would
// cost it another file. Each reading goes on where the last one stopped, so that a rotation loses nothing, and is
// cheap.

// counted is what has been read of the logs. The counters begin with the boot.
type counted struct {
	Boot     string            `json:"boot"`               // whose commands these are
	Commands map[string]*tally `json:"commands,omitempty"` // by plugin, command and code, with spaces between them
	Logs     map[string]place  `json:"logs,omitempty"`     // by path
	Since    time.Time         `json:"since,omitzero"`     // what happened before does not count
}

// tally counts the commands of one kind.
type tally struct {
	Count   uint64        `json:"count"`
	Total   time.Duration `json:"total"` // ns
	Buckets []uint64      `json:"buckets"`
}

// bounds are the upper ends of the buckets.
var bounds = []time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
	10 * time.Second, 30 * time.Second, 100 * time.Second,
}

// place is how far a log was read.
type place struct {
	File   uint64 `json:"file"` // which of the rotated files: a hash of its first line
	Offset int64  `json:"offset"`

	// Last is the time of the last line: where the file is not found any more, since it was rotated away or cut, what came
	// later is new.
	Last time.Time `json:"last,omitzero"`
}

// kept is how many rotated files there are at most.
const kept = 8

// read counts what the log has that was not counted yet. Lines without a plugin's name are plugin's.
func (c *counted) read(path, plugin string) error {
	var files []string // the oldest first
	for n := kept; n > 0; n-- {
		files = append(files, path+"."+strconv.Itoa(n))
	}
	files = append(files, path)
	last, known := c.Logs[path]
	first, start, after := 0, int64(0), c.Since
	if known {
		after = last.Last
		if i := slices.IndexFunc(files, func(f string) bool { return identity(f) == last.File }); i >= 0 {
			first, start, after = i, last.Offset, c.Since
		}
	}
	for _, f := range files[first:] {
		id := identity(f)
		if id == 0 {
			continue // it is not there, or empty
		}
		end, newest, err := c.readFile(f, start, after, plugin)
		if err != nil {
			return err
		}
		start = 0
		if newest.After(last.Last) {
			last.Last = newest
		}
		if c.Logs == nil {
			c.Logs = map[string]place{}
		}
		c.Logs[path] = place{id, end, last.Last}
	}
	return nil
}

// identity tells rotated files apart, whatever they are called by now; 0 is none.
func identity(path string) uint64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	line, err := bufio.NewReader(f).ReadBytes('\n')
	if err != nil {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write(line)
	return max(h.Sum64()>>1, 1) // what a JSON number holds as it is
}

// readFile counts the lines from an offset on that are later, and returns where the last whole line ends, and when the
// newest one that counts was written.
func (c *counted) readFile(path string, from int64, after time.Time,
	plugin string) (end int64, newest time.Time, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, newest, nil // rotated just now
	}
	if err != nil {
		return 0, newest, fmt.Errorf("read what commands did: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, serr := f.Stat(); serr != nil || info.Size() < from {
		from = 0 // somebody cut it
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return 0, newest, fmt.Errorf("read what commands did: %w", err)
	}
	end = from
	r := bufio.NewReaderSize(f, 64<<10)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return end, newest, nil
		}
		if err != nil {
			return end, newest, fmt.Errorf("read what commands did: %w", err)
		}
		end += int64(len(line))
		if when := c.count(line, after, plugin); when.After(newest) {
			newest = when
		}
	}
}

var outcomes = [][]byte{[]byte(" msg=done "), []byte(" msg=failed ")}

// count counts a line that is a command's last one, if it is later, and returns when it was written.
func (c *counted) count(line []byte, after time.Time, plugin string) (when time.Time) {
	if !slices.ContainsFunc(outcomes, func(o []byte) bool { return bytes.Contains(line[:min(len(line), 80)], o) }) {
		return when
	}
	facts := parseLine(string(line))
	when, err := time.Parse(time.RFC3339Nano, facts["time"])
	if err != nil || !when.After(after) {
		return time.Time{}
	}
	code := "0"
	switch facts["msg"] {
	case "done":
	case "failed":
		code = facts["code"]
	default:
		return when
	}
	if facts["plugin"] != "" {
		plugin = facts["plugin"]
	}
	command := facts["command"]
	if !slices.Contains([]string{"ADD", "DEL", "CHECK", "GC", "STATUS", "repair"}, command) {
		command = "other"
	}
	took, err := time.ParseDuration(facts["duration"])
	if _, cerr := strconv.Atoi(code); err != nil || cerr != nil && command != "repair" {
		return when
	}
	if code == "" {
		code = "1" // a repair that failed has none
	}
	if c.Commands == nil {
		c.Commands = map[string]*tally{}
	}
	key := plugin + " " + command + " " + code
	t := c.Commands[key]
	if t == nil {
		t = &tally{Buckets: make([]uint64, len(bounds))}
		c.Commands[key] = t
	}
	t.Count++
	t.Total += took
	for i, b := range bounds {
		if took <= b && i < len(t.Buckets) {
			t.Buckets[i]++
		}
	}
	return when
}

// parseLine reads a line as slog.TextHandler writes it.
func parseLine(line string) map[string]string {
	facts := map[string]string{}
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ") {
		key, rest, ok := strings.Cut(line, "=")
		if !ok {
			break
		}
		var value string
		if quoted, err := strconv.QuotedPrefix(rest); err == nil {
			value, _ = strconv.Unquote(quoted) // it was read just now
			rest = rest[len(quoted):]
		} else if value, rest, ok = strings.Cut(rest, " "); !ok {
			rest = ""
		}
		if _, twice := facts[key]; !twice { // the plugin's own come first
			facts[key] = value
		}
		line = rest
	}
	return facts
}
