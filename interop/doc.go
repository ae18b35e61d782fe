// Package interop holds tests of Guard.Wrap against servers that are not made
// with the Go SDK, and of guarded servers with clients that are not.
package interop
