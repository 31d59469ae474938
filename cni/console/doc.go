// Package console is what commands for people share: reading what somebody typed, tables that fit a terminal, ages.
package console
