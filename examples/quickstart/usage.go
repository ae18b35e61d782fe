package main

import (
	"io"
	"strings"
)

// usage prints what to paste while the server runs.
func usage(out io.Writer, resource, issuer string) {
	text := strings.NewReplacer(
		"RESOURCE", resource, "ISSUER", issuer, "MODERN", modern, "LEGACY", legacy,
		"CALL", toolCall(modern, "read_note", `{"title":"shopping"}`),
		"OLD", toolCall(legacy, "read_note", `{"title":"shopping"}`),
	).Replace(`The server is at RESOURCE, the identity provider at ISSUER.
Audit records go to standard error. Stop with Ctrl-C.

# a token (clients: alice, bob; leave notes.write out to see the step-up challenge)
TOKEN=$(curl -s -u alice:alice-secret ISSUER/token -d grant_type=client_credentials \
  -d resource=RESOURCE -d 'scope=notes.read notes.write' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

# a call, protocol version MODERN
curl -i RESOURCE -H "Authorization: Bearer $TOKEN" \
  -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
  -H 'MCP-Protocol-Version: MODERN' -H 'Mcp-Method: tools/call' -H 'Mcp-Name: read_note' \
  -d 'CALL'

# a session and a call, protocol version LEGACY
SESSION=$(curl -s -D - -o /dev/null RESOURCE -H "Authorization: Bearer $TOKEN" \
  -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
  -d '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"LEGACY","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}' \
  | tr -d '\r' | sed -n 's/^Mcp-Session-Id: //Ip')
curl -i RESOURCE -H "Authorization: Bearer $TOKEN" -H "Mcp-Session-Id: $SESSION" \
  -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' \
  -H 'MCP-Protocol-Version: LEGACY' \
  -d 'OLD'

# MCP Inspector (needs Node 22.19 or later; with an older one npx takes an old Inspector)
npx @modelcontextprotocol/inspector@2 --cli RESOURCE --transport http \
  --header "Authorization: Bearer $TOKEN" --method tools/call --tool-name read_note --tool-arg title=shopping
`)
	_, _ = io.WriteString(out, text)
}
