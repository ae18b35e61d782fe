package harden

import (
	"fmt"
	"slices"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The protocol versions at which behaviour changes.
const (
	version20250326 = "2025-03-26" // the last with batches, and without a version header
	version20251125 = "2025-11-25" // the last with sessions
	version20260728 = "2026-07-28" // the first without
)

// versionPolicy is the set of versions that are served. It is immutable.
type versionPolicy struct {
	allowed []string // newest first
	legacy  string   // the newest allowed version with sessions, or ""
	modern  bool     // a version without sessions is allowed
	loose   bool     // a version without version header and with batches is allowed
}

func newVersionPolicy(versions []string) (versionPolicy, error) {
	var p versionPolicy
	if versions == nil {
		versions = []string{version20251125, version20260728}
	}
	if len(versions) == 0 {
		return p, fmt.Errorf("harden: WithVersions names no version")
	}
	known := mcp.SupportedProtocolVersions()
	for _, v := range versions {
		if !slices.Contains(known, v) {
			return p, fmt.Errorf("harden: WithVersions: %q is not a version that the SDK serves (%v)", v, known)
		}
	}
	p.allowed = slices.Compact(slices.Sorted(slices.Values(versions)))
	slices.Reverse(p.allowed)
	for _, v := range p.allowed {
		switch {
		case isModern(v):
			p.modern = true
		case p.legacy == "":
			p.legacy = v
		}
		p.loose = p.loose || v <= version20250326
	}
	return p, nil
}

func isModern(v string) bool { return v >= version20260728 }

func (p *versionPolicy) allows(v string) bool { return slices.Contains(p.allowed, v) }

// negotiate returns the version with which to answer an initialize that asks
// for v: v when it is served and has sessions, else the newest that has.
func (p *versionPolicy) negotiate(v string) string {
	if p.allows(v) && !isModern(v) {
		return v
	}
	return p.legacy
}
