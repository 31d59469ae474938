package operator

import (
	"bytes"
	"encoding/json"
	"slices"
)

// What leaves the node in a bundle has no secrets: what stands behind a word for one is left out, in JSON and in any
// other text.

const hidden = "(left out)"

// secretWord are words in names of what nobody else may know.
const secretWord = `(?:token|passw|passphrase|secret|credential|private|api_?-?key|access_?-?key|auth|cookie|session|` +
	`signature|bearer|\bsig\b|\bpwd\b)`

var (
	secretName = lazily(`(?i)` + secretWord + `|key$`)

	// NAME=VALUE, NAME: VALUE, with quotes or without, also inside of what is quoted once more.
	secretPair = lazily(`(?i)([\w.-]*` + secretWord +
		`[\w.-]*\\?["']?\s*[=:]\s*)(\\"(?:[^"\\]|\\[^"])*(?:\\")?|"(?:[^"\\]|\\.)*"?|'[^']*'?|[^\s,;&"']+)`)

	userInURL  = lazily(`(://)[^/\s@"']+@`)
	scheme     = lazily(`(?i)\b(basic|bearer) [\w.~+/=-]{6,}`)
	webToken   = lazily(`\beyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?`) // base64 of {" begins so
	privateKey = lazily(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)`)
)

// redact leaves out secrets of a text. A JSON document stays one.
func redact(text []byte) []byte {
	var document any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&document) == nil && !d.More() {
		clean := &bytes.Buffer{}
		e := json.NewEncoder(clean)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if e.Encode(redactValue(document)) == nil {
			return clean.Bytes()
		}
	}
	return redactText(text)
}

// large is where a text is a log: then only those of its lines are looked at closely that may have a secret, since each
// line is on its own.
const large = 256 << 10

// suspicious are parts of what the expressions above look for, in small letters.
var suspicious = [][]byte{
	[]byte("token"), []byte("passw"), []byte("passphrase"), []byte("secret"), []byte("credential"), []byte("private"),
	[]byte("key"), []byte("auth"), []byte("cookie"),
	[]byte("session"), []byte("signature"), []byte("bearer"), []byte("basic"), []byte("sig"), []byte("pwd"),
	[]byte("eyj"), []byte("://"),
}

func redactText(text []byte) []byte {
	if len(text) < large {
		return redactLines(text)
	}
	text = privateKey().ReplaceAll(text, []byte(hidden))
	out := make([]byte, 0, len(text))
	for line := range bytes.Lines(text) {
		low := bytes.ToLower(line)
		if slices.ContainsFunc(suspicious, func(s []byte) bool { return bytes.Contains(low, s) }) {
			line = redactLines(line)
		}
		out = append(out, line...)
	}
	return out
}

func redactLines(text []byte) []byte {
	text = privateKey().ReplaceAll(text, []byte(hidden))
	text = scheme().ReplaceAll(text, []byte("$1 "+hidden))
	text = webToken().ReplaceAll(text, []byte(hidden))
	text = userInURL().ReplaceAll(text, []byte("$1"+hidden+"@"))
	return secretPair().ReplaceAll(text, []byte("$1"+hidden))
}

func redactValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if secretName().MatchString(key) && value != nil {
				v[key] = hidden
			} else {
				v[key] = redactValue(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = redactValue(v[i])
		}
	case string:
		return string(redactText([]byte(v)))
	}
	return v
}
