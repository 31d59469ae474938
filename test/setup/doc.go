// Package setup has the tests of scripts/setup.sh.
package setup
