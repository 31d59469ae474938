package store

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// Rows are made of words: what comes from outside (names, paths) is written so that it holds no separator, no quote, no
// backslash, and only printable ASCII.

const upperHex = "0123456789ABCDEF"

// AppendWord appends a text as one word. What could be taken for a separator of rows or their fields is written as in a
// URL: %2F.
func AppendWord(b []byte, text string) []byte {
	for i := range len(text) {
		switch c := text[i]; {
		case c <= ' ', c >= 0x7f, c == '/', c == ';', c == '=', c == '%', c == '"', c == '\\':
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}

// ParseWord reads what AppendWord wrote.
func ParseWord(word string) (string, error) { return url.PathUnescape(word) }

// AppendJSON appends the JSON of a value as one word: with single quotes.
func AppendJSON(b []byte, value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return b, err
	}
	for _, c := range text {
		switch {
		case c == '"':
			b = append(b, '\'')
		case c <= ' ', c >= 0x7f, c == '\'', c == '%', c == '\\':
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		default:
			b = append(b, c)
		}
	}
	return b, nil
}

// ParseJSON reads what AppendJSON wrote.
func ParseJSON(word string, value any) error {
	text, err := url.PathUnescape(strings.ReplaceAll(word, "'", "\""))
	if err != nil {
		return fmt.Errorf("a record: %w", err)
	}
	return json.Unmarshal([]byte(text), value)
}
