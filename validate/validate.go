package validate

import (
	"fmt"
	"sync"

	"github.com/hardenmcp/harden/insecure"
)

// Limits bound what a stranger, or a server's author, can make a [Validator]
// hold and do. A field of zero means its default, and a negative one is an
// error of [New]: nothing here can be switched off.
type Limits struct {
	// Bytes bounds one message or batch. Default 1 MiB.
	Bytes int
	// Depth bounds how deep objects and arrays nest; the message itself is 1.
	// Default 64, at most 1000, which is where the SDK gives up.
	Depth int
	// Members bounds the members and items of a message, all levels together.
	// Default 20,000.
	Members int
	// String bounds a string, in bytes after its escapes are undone. Default
	// 1 MiB, so that only Bytes counts.
	String int
	// Key bounds a member's name, in bytes. Default 1024.
	Key int
	// Digits bounds the digits of a number, those of its exponent included.
	// Default 64.
	Digits int
	// Exponent bounds the exponent of a number, either way. Default 400. A
	// number over the range of a float64 is refused whatever this says.
	Exponent int
	// ID bounds an ID that is a string, in bytes. Default 128.
	ID int
	// Name bounds the name of a tool, prompt or task, and a URI, in bytes.
	// Default 2048.
	Name int
	// URIs bounds the resources of one subscriptions/listen. Default 64.
	URIs int
	// Violations bounds what one refusal lists. Default 8.
	Violations int

	// Tools bounds the learned tools. Default 10,000.
	Tools int
	// SchemaBytes bounds one schema. Default 256 KiB.
	SchemaBytes int
	// SchemaDepth bounds how deep a schema nests. Default 64, at most 1000.
	SchemaDepth int
	// Subschemas bounds the objects in one schema. Default 2000.
	Subschemas int
	// Pattern bounds a regular expression, in bytes. Default 1024.
	Pattern int
	// Steps bounds the subschemas that one [Validator.Check] visits, which a
	// recursive schema can make exponential in the depth. Default 100,000.
	Steps int
}

// maxDepth is the SDK's own bound.
const maxDepth = 1000

func (l *Limits) fill() error {
	for _, f := range []struct {
		name string
		p    *int
		def  int
		max  int
	}{
		{"Bytes", &l.Bytes, 1 << 20, 0},
		{"Depth", &l.Depth, 64, maxDepth},
		{"Members", &l.Members, 20_000, 0},
		{"String", &l.String, 1 << 20, 0},
		{"Key", &l.Key, 1024, 0},
		{"Digits", &l.Digits, 64, 0},
		{"Exponent", &l.Exponent, 400, 0},
		{"ID", &l.ID, 128, 0},
		{"Name", &l.Name, 2048, 0},
		{"URIs", &l.URIs, 64, 0},
		{"Violations", &l.Violations, 8, 0},
		{"Tools", &l.Tools, 10_000, 0},
		{"SchemaBytes", &l.SchemaBytes, 256 << 10, 0},
		{"SchemaDepth", &l.SchemaDepth, 64, maxDepth},
		{"Subschemas", &l.Subschemas, 2000, 0},
		{"Pattern", &l.Pattern, 1024, 0},
		{"Steps", &l.Steps, 100_000, 0},
	} {
		switch {
		case *f.p < 0:
			return fmt.Errorf("validate: Config.Limits.%s is negative", f.name)
		case *f.p == 0:
			*f.p = f.def
		case f.max > 0 && *f.p > f.max:
			return fmt.Errorf("validate: Config.Limits.%s is %d, at most %d works", f.name, *f.p, f.max)
		}
	}
	return nil
}

// A Config says how strict a [Validator] is. The zero value is the strictest.
type Config struct {
	Limits Limits
	// Open lets a tool's arguments hold members that its schema does not name,
	// where the root of the schema says nothing about them. By default such a
	// schema is taken as closed, for a member that nobody described is a member
	// that nobody checked.
	Open insecure.Waiver
}

// A Validator reads messages strictly and checks the arguments of tools. Make
// one with [New]. It is safe for concurrent use.
type Validator struct {
	limits Limits
	open   bool

	mu    sync.RWMutex
	tools map[string]*tool
}

// New returns a Validator, or an error that names the field that does not work.
func New(cfg Config) (*Validator, error) {
	v := &Validator{limits: cfg.Limits, open: cfg.Open.Granted(), tools: map[string]*tool{}}
	if err := v.limits.fill(); err != nil {
		return nil, err
	}
	return v, nil
}

// MaxBytes returns the bound on one message or batch, for whoever reads it from
// the wire.
func (v *Validator) MaxBytes() int { return v.limits.Bytes }
