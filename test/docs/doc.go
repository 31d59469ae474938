// Package docs keeps the documents true: what they name exists, and what exists is named. A document that this package
// finds nothing in may still be wrong; it cannot be out of date in its names.
package docs
