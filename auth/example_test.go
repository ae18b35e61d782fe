package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/auth"
)

func verifier() *auth.Verifier {
	v, err := auth.New(auth.Config{
		Resource: "https://notes.example/mcp",
		Issuers:  []auth.Issuer{{URL: "https://login.example"}},
		Scopes:   []string{"mcp"},
		Rules: []auth.Rule{
			auth.Permit("tool:read_note"),
			auth.Permit("tool:write_note").Scopes("notes.write"),
		},
	})
	if err != nil {
		panic(err)
	}
	return v
}

func ExampleNew() {
	_, err := auth.New(auth.Config{Resource: "https://notes.example/mcp"})
	fmt.Println(err)
	// Output: auth: Issuers is required
}

func ExampleHeader() {
	h := http.Header{"Authorization": {"Bearer abc"}}
	token, err := auth.Header(h.Values("Authorization"))
	fmt.Println(token, err)
	// Output: abc <nil>
}

func ExampleVerifier_Verify() {
	_, err := verifier().Verify(context.Background(), "not a token")
	var e *access.Error
	fmt.Println(errors.As(err, &e), e.Reason, e.Rule)
	// Output: true unauthenticated form
}

func ExampleVerifier_Check() {
	alice := &access.Principal{Issuer: "https://login.example", Subject: "alice", Scopes: []string{"mcp"}}
	err := verifier().Check(context.Background(), &access.Call{Principal: alice, Method: "tools/call", Name: "write_note"})
	e := access.AsError(err)
	fmt.Println(e.Reason, e.Scopes)
	// Output: insufficient_scope [mcp notes.write]
}

func ExamplePermit() {
	rule := auth.Permit("tool:note_*", "resource:note://*").Scopes("notes.read")
	_, err := auth.New(auth.Config{
		Resource: "https://notes.example/mcp",
		Issuers:  []auth.Issuer{{URL: "https://login.example"}},
		Rules:    []auth.Rule{rule},
	})
	fmt.Println(err)
	// Output: <nil>
}

func ExampleVerifier_Names() {
	fmt.Println(verifier().Names([]string{"read_note", "write_notes"}, nil))
	// Output: auth: permission "tool:write_note" matches nothing that this server has
}

func ExampleVerifier_Metadata() {
	v := verifier()
	fmt.Println(v.MetadataURL())
	fmt.Println(string(v.Metadata()))
	// Output:
	// https://notes.example/.well-known/oauth-protected-resource/mcp
	// {"resource":"https://notes.example/mcp","authorization_servers":["https://login.example"],"scopes_supported":["mcp","notes.write"],"bearer_methods_supported":["header"]}
}
