package validate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A tool is a tool whose schema was learned.
type tool struct {
	source []byte
	doc    any // with the step format in every subschema
	wrap   bool
	// In a closed schema without composition, names and patterns say which
	// members the root knows.
	closed   bool
	names    map[string]struct{}
	patterns []*regexp.Regexp

	limits *Limits
	// programs are compiled schemas that nobody uses at the moment. A program
	// counts the steps of one check, so two checks cannot share one.
	programs chan *program
}

// A program is a compiled schema and the budget of the check that runs it.
type program struct {
	schema *jsonschema.Schema
	ctx    context.Context
	steps  int
}

// stepFormat is a format that every subschema is given in place of its own,
// which would be an annotation. The engine asks about it before it goes
// deeper, and that is where steps are counted.
const stepFormat = "harden-step"

var errSteps = errors.New("validate: too many steps")

// step counts one visited subschema. It leaves the engine by a panic, because
// an error would only send it to the next alternative.
func (p *program) step(any) error {
	p.steps--
	if p.steps < 0 {
		panic(errSteps)
	}
	if p.steps&255 == 0 && p.ctx.Err() != nil {
		panic(p.ctx.Err())
	}
	return nil
}

// Learn compiles the input schema of a tool and remembers it, in place of an
// earlier one. It returns an error, meant for the server's author, when the
// schema is not strict JSON, breaks a limit, is of another dialect than JSON
// Schema 2020-12 (SEP-1613 makes that the default), refers to anything outside
// itself (SEP-2106, T21), holds a regular expression that package regexp does
// not have, or does not say "type": "object". The tool is then not known:
// calls of it are refused.
func (v *Validator) Learn(name string, inputSchema []byte) error {
	v.mu.RLock()
	old := v.tools[name]
	full := old == nil && len(v.tools) >= v.limits.Tools
	v.mu.RUnlock()
	switch {
	case full:
		return fmt.Errorf("validate: tool %q: more than %d tools", name, v.limits.Tools)
	case old != nil && bytes.Equal(old.source, inputSchema):
		return nil
	case name == "" || len(name) > v.limits.Name:
		return fmt.Errorf("validate: tool %q: a name has 1 to %d bytes", shorten(name), v.limits.Name)
	}
	t, err := v.learn(inputSchema)
	if err != nil {
		v.Forget(name)
		return fmt.Errorf("validate: tool %q: %w", name, err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.tools[name] == nil && len(v.tools) >= v.limits.Tools {
		return fmt.Errorf("validate: tool %q: more than %d tools", name, v.limits.Tools)
	}
	v.tools[name] = t
	return nil
}

// Known reports whether the schema of a tool was learned.
func (v *Validator) Known(name string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.tools[name] != nil
}

// Forget forgets a tool. Calls of it are refused until it is learned again.
func (v *Validator) Forget(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.tools, name)
}

func (v *Validator) learn(source []byte) (*tool, error) {
	limits := v.limits
	limits.Bytes, limits.Depth = limits.SchemaBytes, limits.SchemaDepth
	doc, err := decode(&limits, source)
	if err != nil {
		return nil, err
	}
	root, ok := doc.(map[string]any)
	if !ok || root["type"] != "object" {
		return nil, errors.New(`the schema does not say "type": "object"`)
	}
	delete(root, "$id") // every reference is within the schema
	w := walker{limits: &v.limits, places: map[string]bool{}}
	if err := w.walk(root, ""); err != nil {
		return nil, err
	}
	if err := w.resolve(); err != nil {
		return nil, err
	}
	t := &tool{
		source: bytes.Clone(source), doc: doc, limits: &v.limits,
		programs: make(chan *program, min(runtime.GOMAXPROCS(0), 16)),
	}
	if !v.open {
		t.close(root)
	}
	return t, t.try()
}

// applicators are keywords by which other members can be described.
var applicators = []string{"$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "if", "dependentSchemas", "dependencies"}

// close decides how a root that is silent about other members is closed. The
// schema itself stays as it is: it may refer to its own root and add members.
func (t *tool) close(root map[string]any) {
	has := func(key string) bool { _, ok := root[key]; return ok }
	if has("additionalProperties") || has("unevaluatedProperties") {
		return
	}
	if slices.ContainsFunc(applicators, has) {
		t.wrap = true
		return
	}
	t.closed = true
	t.names = map[string]struct{}{}
	properties, _ := root["properties"].(map[string]any)
	for name := range properties {
		t.names[name] = struct{}{}
	}
	patterns, _ := root["patternProperties"].(map[string]any)
	for p := range patterns {
		t.patterns = append(t.patterns, regexp.MustCompile(p)) // the walk compiled it
	}
}

// try compiles the first program and runs it once, so that a schema that the
// engine cannot work with is found now.
func (t *tool) try() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the schema cannot be compiled: %v", p)
		}
	}()
	p, err := t.compile()
	if err != nil {
		return err
	}
	found, err := p.run(context.Background(), map[string]any{}, t.limits.Steps)
	for _, v := range found {
		if v.Rule == "$ref" {
			return errors.New("$ref leads back to where it stands")
		}
	}
	t.programs <- p
	return err
}

const (
	schemaURL = "harden:///schema"
	closedURL = "harden:///closed"
)

func (t *tool) compile() (*program, error) {
	p := &program{}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(func(s string) (jsonschema.Regexp, error) { return compilePattern(s, t.limits.Pattern) })
	c.RegisterFormat(&jsonschema.Format{Name: stepFormat, Validate: p.step})
	c.AssertFormat()
	if err := c.AddResource(schemaURL, t.doc); err != nil {
		return nil, err
	}
	target := schemaURL
	if t.wrap {
		target = closedURL
		err := c.AddResource(closedURL, map[string]any{"$ref": schemaURL, "unevaluatedProperties": false})
		if err != nil {
			return nil, err
		}
	}
	var err error
	p.schema, err = c.Compile(target)
	return p, err
}

// noLoader loads nothing: no file, no network.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("validate: reference to %q leaves the schema", url)
}

func compilePattern(s string, limit int) (*regexp.Regexp, error) {
	if len(s) > limit {
		return nil, fmt.Errorf("regular expression of %d bytes, the bound is %d", len(s), limit)
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, fmt.Errorf("regular expression is not one of RE2: %w", err)
	}
	return re, nil
}

// A walker visits the subschemas of a schema.
type walker struct {
	limits *Limits
	count  int
	places map[string]bool // JSON Pointers of the subschemas
	refs   []reference
}

type reference struct{ place, target string }

// keywords says what the keywords that hold subschemas hold: one, a list, or a
// map of them.
var keywords = map[string]byte{
	"additionalProperties": '1', "unevaluatedProperties": '1', "items": '1', "additionalItems": '1',
	"unevaluatedItems": '1', "contains": '1', "propertyNames": '1', "not": '1', "if": '1', "then": '1',
	"else": '1', "contentSchema": '1',
	"allOf": 'n', "anyOf": 'n', "oneOf": 'n', "prefixItems": 'n',
	"properties": 'm', "patternProperties": 'm', "$defs": 'm', "definitions": 'm',
	"dependentSchemas": 'm', "dependencies": 'm',
}

const (
	dialect2020 = "https://json-schema.org/draft/2020-12/schema"
	wantDialect = "only 2020-12 (" + dialect2020 + ") is"
)

// walk visits the subschema at place, and those in it. What is no schema is
// left to the engine, which checks schemas against their metaschema.
func (w *walker) walk(v any, place string) error {
	w.places[place] = true
	schema, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	if w.count++; w.count > w.limits.Subschemas {
		return fmt.Errorf("more than %d subschemas", w.limits.Subschemas)
	}
	if err := w.identity(schema, place); err != nil {
		return err
	}
	if err := w.patterns(schema, place); err != nil {
		return err
	}
	for _, key := range sortedKeys(schema) {
		if err := w.keyword(key, schema[key], place+"/"+escapeToken(key)); err != nil {
			return err
		}
	}
	delete(schema, "format")
	if len(schema) > 0 {
		schema["format"] = stepFormat
	}
	return nil
}

func (w *walker) keyword(key string, v any, place string) error {
	switch keywords[key] {
	case '1':
		return w.walk(v, place)
	case 'n':
		list, _ := v.([]any)
		for i, item := range list {
			if err := w.walk(item, place+"/"+strconv.Itoa(i)); err != nil {
				return err
			}
		}
	case 'm':
		members, _ := v.(map[string]any)
		for _, name := range sortedKeys(members) {
			if err := w.walk(members[name], place+"/"+escapeToken(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// identity judges what the subschema calls itself and refers to.
func (w *walker) identity(schema map[string]any, place string) error {
	if d, ok := schema["$schema"]; ok {
		if s, _ := d.(string); strings.TrimSuffix(s, "#") != dialect2020 {
			return fmt.Errorf("dialect %q at %q is not supported, %s", shorten(fmt.Sprint(d)), place, wantDialect)
		}
		delete(schema, "$schema")
	}
	if _, ok := schema["$id"]; ok {
		return fmt.Errorf("$id at %q: a schema inside the schema is not supported", place)
	}
	for _, key := range []string{"$ref", "$dynamicRef", "$recursiveRef"} {
		target, ok := schema[key].(string)
		if !ok {
			continue
		}
		if !strings.HasPrefix(target, "#") {
			return fmt.Errorf("%s at %q leaves the schema: %q", key, place, shorten(target))
		}
		w.refs = append(w.refs, reference{place + "/" + key, target[1:]})
	}
	return nil
}

func (w *walker) patterns(schema map[string]any, place string) error {
	if s, ok := schema["pattern"].(string); ok {
		if _, err := compilePattern(s, w.limits.Pattern); err != nil {
			return fmt.Errorf("%q: %w", place+"/pattern", err)
		}
	}
	members, _ := schema["patternProperties"].(map[string]any)
	for _, s := range sortedKeys(members) {
		if _, err := compilePattern(s, w.limits.Pattern); err != nil {
			return fmt.Errorf("%q: %w", place+"/patternProperties", err)
		}
	}
	return nil
}

// resolve refuses references to what was not visited: the steps there would
// not be counted. Anchors are left to the engine, which knows only those of
// subschemas.
func (w *walker) resolve() error {
	for _, ref := range w.refs {
		target, err := url.PathUnescape(ref.target)
		if err == nil && target != "" && target[0] != '/' {
			continue
		}
		if err != nil || !w.places[target] {
			return fmt.Errorf("%q: there is no subschema at %q", ref.place, shorten(ref.target))
		}
	}
	return nil
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// escapeToken writes a reference token of a JSON Pointer (RFC 6901 §3).
func escapeToken(s string) string {
	if !strings.ContainsAny(s, "~/") {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "~", "~0"), "/", "~1")
}
