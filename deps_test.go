package harden_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const module = "github.com/hardenmcp/harden"

// A policy says what a package may import besides the standard library. A path
// ending in /... allows what is below it. It is the rule of the architecture:
// it is not edited to get green.
type policy struct{ imports, tests []string }

var (
	floor  = []string{module + "/access", module + "/insecure"}
	leaves = []string{module + "/auth", module + "/session", module + "/ratelimit", module + "/validate", module + "/audit"}
	sdk    = []string{"github.com/modelcontextprotocol/go-sdk/..."}
	cmp    = []string{"github.com/google/go-cmp/..."}
)

func allow(lists ...[]string) []string { return slices.Concat(lists...) }

var policies = map[string]policy{
	module + "/access":     {nil, cmp},
	module + "/insecure":   {nil, cmp},
	module + "/auth":       {allow(floor, []string{"github.com/lestrrat-go/jwx/v3/..."}), cmp},
	module + "/session":    {floor, cmp},
	module + "/ratelimit":  {floor, cmp},
	module + "/validate":   {allow(floor, []string{"github.com/santhosh-tekuri/jsonschema/v6/...", "github.com/go-json-experiment/json/...", "golang.org/x/text/..."}), allow(cmp, sdk)},
	module + "/audit":      {allow(floor, []string{"github.com/samber/slog-multi"}), cmp},
	module:                 {allow(floor, leaves, sdk, []string{"github.com/google/uuid"}), allow(cmp, []string{module + "/hardentest"})},
	module + "/hardentest": {allow(floor, leaves, sdk, []string{module}), allow(cmp, []string{"github.com/lestrrat-go/jwx/v3/..."})}, // "anything above"; it judges the JWT library
}

type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
	Standard                           bool
	Module                             *struct{ Path string }
}

func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-json"}, args...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
}

func allowed(path string, list []string) bool {
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		return true // standard library
	}
	return slices.ContainsFunc(list, func(a string) bool {
		prefix, below := strings.CutSuffix(a, "/...")
		return path == a || below && (path == prefix || strings.HasPrefix(path, prefix+"/"))
	})
}

func TestImportsFollowThePolicy(t *testing.T) {
	for _, p := range goList(t, "./...") {
		rule, known := policies[p.ImportPath]
		if !known {
			t.Errorf("%s has no policy", p.ImportPath)
			continue
		}
		for _, i := range p.Imports {
			if !allowed(i, rule.imports) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
		own := []string{p.ImportPath}
		for _, i := range slices.Concat(p.TestImports, p.XTestImports) {
			if !allowed(i, allow(rule.imports, rule.tests, own)) {
				t.Errorf("tests of %s import %s", p.ImportPath, i)
			}
		}
	}
}

// TestPolicyCanFail keeps the check from being one that cannot fail.
func TestPolicyCanFail(t *testing.T) {
	for path, want := range map[string]bool{
		"net/http": true, module + "/access": true, module + "/session": false,
		"github.com/modelcontextprotocol/go-sdk/mcp": false, "github.com/lestrrat-go/jwx/v3/jwk": true,
		"github.com/lestrrat-go/jwx/v2/jwk": false, "github.com/lestrrat-go/jwx/v3x": false,
	} {
		if got := allowed(path, policies[module+"/auth"].imports); got != want {
			t.Errorf("auth may import %s: got %v, want %v", path, got, want)
		}
	}
}

func TestModulesThatUsersGet(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range goList(t, "-deps", ".") {
		if p.Module != nil && p.Module.Path != module {
			seen[p.Module.Path] = true
		}
	}
	var names []string
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	golden(t, filepath.Join("testdata", "deps.golden"), strings.Join(names, "\n")+"\n")
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; if that is meant, run make golden and write a line in CHANGELOG.md\ngot:\n%s", path, got)
	}
}
