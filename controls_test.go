package harden_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/CONTROLS.md is what we are measured by, so it cannot name what is not
// there.

func TestControlsNameWhatExists(t *testing.T) {
	tests := allTests(t)
	required := requirements(t)
	seen := map[string]bool{}
	for _, row := range controls(t) {
		id, level, version := row[0], row[1], row[2]
		if want, ok := required[id]; !ok || want != version+" "+level {
			t.Errorf("%s: got %s %s, want %q as in requirements.tsv", id, version, level, want)
		}
		if seen[id] {
			t.Errorf("%s has two rows", id)
		}
		seen[id] = true
		checkControl(t, row, tests)
	}
	for id := range required {
		if !seen[id] {
			t.Errorf("%s has no row", id)
		}
	}
}

func checkControl(t *testing.T, row []string, tests map[string]bool) {
	t.Helper()
	id, answer, code, test, state := row[0], row[4], row[5], row[6], row[7]
	if !slices.Contains([]string{"met", "part", "sdk", "later"}, state) {
		t.Errorf("%s: state %q", id, state)
	}
	if answer == "" || (state == "met" || state == "part") && (code == "" || test == "") {
		t.Errorf("%s is %s and names no answer, code or test", id, state)
	}
	for _, path := range list(code) {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, name := range list(test) {
		if !tests[name] {
			t.Errorf("%s names %s, which does not exist", id, name)
		}
	}
}

func list(cell string) []string {
	return strings.FieldsFunc(cell, func(r rune) bool { return r == ',' || r == ' ' })
}

func controls(t *testing.T) (rows [][]string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("docs", "CONTROLS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if regexp.MustCompile(`^[A-P]\d\d$`).MatchString(cells[0]) {
			if len(cells) != 8 {
				t.Fatalf("%s has %d cells", cells[0], len(cells))
			}
			rows = append(rows, cells)
		}
	}
	return rows
}

// requirements maps each ID to its versions and level.
func requirements(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("docs", "requirements.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.TrimSpace(line), "\t")
		all[cells[0]] = cells[1] + " " + cells[2]
	}
	if len(all) != 243 {
		t.Errorf("got %d requirements, want 243", len(all))
	}
	return all
}

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)

func allTests(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(b, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
