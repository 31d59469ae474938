package console

import (
	"strings"
	"unicode/utf8"
)

// Wrap breaks a text at its spaces, so that no line is wider; further lines begin with indent. A word that is too long
// stays whole. With width 0 the text is as it was.
func Wrap(text string, width int, indent string) string {
	if width == 0 {
		return text
	}
	b := &strings.Builder{}
	column := 0
	for i, word := range strings.Fields(text) {
		length := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+length > width:
			b.WriteString("\n" + indent)
			column = utf8.RuneCountInString(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += length
	}
	return b.String()
}
