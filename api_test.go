package harden_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The exported names of every package, and the sizes of STYLE.md.
var apiSizes = map[string]int{
	".": 30, "access": 25, "insecure": 35, "auth": 35, "session": 35, "ratelimit": 35, "validate": 35, "audit": 35, "hardentest": 35,
}

func TestAPIIsTheGoldenOne(t *testing.T) {
	for dir, limit := range apiSizes {
		lines, names := exported(t, dir)
		if names > limit {
			t.Errorf("%s exports %d names, the limit is %d", dir, names, limit)
		}
		name := dir
		if dir == "." {
			name = "harden"
		}
		golden(t, filepath.Join("testdata", "api", name+".golden"), strings.Join(lines, "\n")+"\n")
	}
}

// exported returns the exported declarations of the package in dir without
// bodies and comments, and how many names it has at the top.
func exported(t *testing.T, dir string) (lines []string, names int) {
	t.Helper()
	fset := token.NewFileSet()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if !ast.FileExports(f) {
			continue
		}
		for _, d := range f.Decls {
			out, n := declare(t, fset, d)
			lines, names = append(lines, out...), names+n
		}
	}
	slices.Sort(lines)
	return lines, names
}

func declare(t *testing.T, fset *token.FileSet, d ast.Decl) (lines []string, names int) {
	t.Helper()
	show := func(node any) string {
		var b bytes.Buffer
		if err := printer.Fprint(&b, fset, node); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(b.String()), " ")
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		d.Body = nil
		if d.Recv == nil {
			names = 1
		}
		return []string{show(d)}, names
	case *ast.GenDecl:
		if d.Tok == token.IMPORT {
			return nil, 0
		}
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				names++
			case *ast.ValueSpec:
				names += len(s.Names)
			}
			lines = append(lines, d.Tok.String()+" "+show(s))
		}
	}
	return lines, names
}

// TestEveryPackageHasItsSize fails when a package is added without a limit.
func TestEveryPackageHasItsSize(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		switch filepath.Base(path) {
		case ".git", "node_modules", "examples", "conformance", "interop", "internal", "testdata", "contrib":
			return filepath.SkipDir
		}
		goFiles, err := filepath.Glob(filepath.Join(path, "*.go"))
		if err == nil && len(goFiles) > 0 {
			if _, ok := apiSizes[path]; !ok {
				t.Errorf("%s has no limit", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
