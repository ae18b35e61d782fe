// Package harden turns an MCP server into a hardened one.
//
// A [Guard], made by [New] from one option per protection, stands in front of
// an MCP server: a go-sdk server ([Guard.Handler], [Guard.Stdio],
// [Guard.Middleware]) or any other MCP HTTP handler ([Guard.Wrap]). It serves
// protocol versions 2025-11-25 and 2026-07-28 on one endpoint.
//
//	guard, err := harden.New(
//		harden.WithAuth(auth.Config{
//			Resource: "https://notes.example/mcp",
//			Issuers:  []auth.Issuer{{URL: "https://login.example"}},
//			Rules: []auth.Rule{
//				auth.Permit("tool:read_note"),
//				auth.Permit("tool:write_note").Scopes("notes.write"),
//			},
//		}),
//	)
//	if err != nil {
//		log.Fatal(err)
//	}
//	handler, err := guard.Handler(server) // server is an *mcp.Server
//	if err != nil {
//		log.Fatal(err)
//	}
//	srv, err := harden.Server("127.0.0.1:8080", handler)
//	if err != nil {
//		log.Fatal(err)
//	}
//	log.Fatal(srv.ListenAndServe())
//
// # Life of a call
//
// At the HTTP seam, in this order: shape (path, Host, Origin, headers), peer
// (budget by network address), caller (the token), message (one strict JSON-RPC
// message, its version), handle (the session is this caller's), permit (so that
// a missing scope answers 403 with a challenge). Credentials are then removed,
// and the message goes on in canonical form. At the method seam: observe
// (recover from panics), call, permit, budget, check (arguments against the
// schema), bound (deadline), the handler, clean (result and error text). The
// lists are in stages.go and nowhere else.
//
// # What is stopped
//
// Calls without a token for this very server, with too few scopes, on another
// caller's session, over budget, with arguments that break the schema, or in a
// form that two parsers could read differently; DNS rebinding and foreign
// browser origins; error text, panics and credentials on their way out.
//
// # What is not done
//
// Arguments that satisfy the schema reach the tool: whether their content is
// honest is the tool's question. Text that a tool returns is not judged. See
// docs/THREATS.md and docs/rough-edges.md.
package harden
