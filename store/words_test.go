package store

import (
	"testing"
	"unicode/utf8"
)

// Any text is one word that rows can hold, and is read back as it was.
func FuzzWords(f *testing.F) {
	for _, text := range []string{"", "azure", "a b/c;d=e%20\"'\\", "é\x00\xff\x7f"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		word := string(AppendWord(nil, text))
		if back, err := ParseWord(word); err != nil || back != text {
			t.Errorf("%q is %q, and that is %q, %v", text, word, back, err)
		}
		record, err := AppendJSON(nil, map[string]string{"text": text})
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]string
		if err := ParseJSON(string(record), &back); err != nil || utf8.ValidString(text) && back["text"] != text {
			t.Errorf("%q is %q, and that is %q, %v", text, record, back["text"], err)
		}
		for _, b := range append([]byte(word), record...) {
			if b <= ' ' || b > '~' || b == '"' || b == '\\' {
				t.Errorf("%q has a %q", text, b)
			}
		}
		_ = ParseJSON(text, &back) // whatever a file holds
	})
}
