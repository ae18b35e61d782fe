package server

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// rounds registers the tools that need several rounds in 2026-07-28: the
// client carries their state, so it is signed.
func rounds(s *mcp.Server) {
	const name = "test_input_required_result_"
	add(s, name+"elicitation", "asks for a name", anyObject, func(_ context.Context, r request) (result, error) {
		if who, _ := accepted(r.Params.InputResponses, "user_name")["name"].(string); who != "" {
			return say("Hello, " + who + "!")
		}
		return need("", mcp.InputRequestMap{"user_name": ask("What is your name?", "name", "string")})
	})
	add(s, name+"sampling", "asks for a completion", anyObject, func(_ context.Context, r request) (result, error) {
		if text, ok := sampled(r.Params.InputResponses, "capital_question"); ok {
			return say("Sampling response: " + text)
		}
		return need("", mcp.InputRequestMap{"capital_question": sample("What is the capital of France?")})
	})
	add(s, name+"list_roots", "asks for roots", anyObject, func(_ context.Context, r request) (result, error) {
		if roots, ok := r.Params.InputResponses["client_roots"].(*mcp.ListRootsResult); ok && roots != nil {
			return say(fmt.Sprintf("%d roots", len(roots.Roots)))
		}
		return need("", mcp.InputRequestMap{"client_roots": &mcp.ListRootsParams{}})
	})
	add(s, name+"multiple_inputs", "asks for three things at once", anyObject, several)
	add(s, name+"multi_round", "asks twice", anyObject, twice)
	add(s, name+"capabilities", "asks for what the client can do", anyObject, able)
	confirm := func(_ context.Context, r request) (result, error) {
		state := r.Params.RequestState
		if state != "" {
			if _, ok := open(state); !ok {
				return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "state does not verify"}
			}
			if accepted(r.Params.InputResponses, "confirm") != nil {
				return say("state-ok")
			}
		}
		return need("confirm", mcp.InputRequestMap{"confirm": ask("Please confirm", "ok", "boolean")})
	}
	add(s, name+"request_state", "carries state", anyObject, confirm)
	add(s, name+"tampered_state", "carries state", anyObject, confirm)
}

func several(_ context.Context, r request) (result, error) {
	in := r.Params.InputResponses
	who, _ := accepted(in, "user_name")["name"].(string)
	text, ok := sampled(in, "greeting")
	roots, _ := in["client_roots"].(*mcp.ListRootsResult)
	if who != "" && ok && roots != nil {
		return say(fmt.Sprintf("%s %s, %d roots", text, who, len(roots.Roots)))
	}
	return need("several", mcp.InputRequestMap{
		"user_name":    ask("What is your name?", "name", "string"),
		"greeting":     sample("Generate a greeting"),
		"client_roots": &mcp.ListRootsParams{},
	})
}

func twice(_ context.Context, r request) (result, error) {
	state := ""
	if s := r.Params.RequestState; s != "" {
		var ok bool
		if state, ok = open(s); !ok {
			return nil, &jsonrpc.Error{Code: jsonrpc.CodeInvalidParams, Message: "state does not verify"}
		}
	}
	switch {
	case state == "":
		return need("round=1", mcp.InputRequestMap{"step1": ask("Step 1: What is your name?", "name", "string")})
	case state == "round=1":
		who, _ := accepted(r.Params.InputResponses, "step1")["name"].(string)
		return need("round=2;"+who, mcp.InputRequestMap{"step2": ask("Step 2: What is your favorite color?", "color", "string")})
	default:
		color, _ := accepted(r.Params.InputResponses, "step2")["color"].(string)
		return say(strings.TrimPrefix(state, "round=2;") + " likes " + color)
	}
}

func able(_ context.Context, r request) (result, error) {
	if len(r.Params.InputResponses) > 0 {
		return say("answered")
	}
	asks := mcp.InputRequestMap{}
	if c := r.ClientCapabilities(); c != nil {
		if c.Elicitation != nil {
			asks["user_name"] = ask("What is your name?", "name", "string")
		}
		if c.Sampling != nil {
			asks["greeting"] = sample("Generate a greeting")
		}
		if c.RootsV2 != nil {
			asks["client_roots"] = &mcp.ListRootsParams{}
		}
	}
	if len(asks) == 0 {
		return say("the client can do nothing that would help")
	}
	return need("", asks)
}

// need is a result that asks for more.
func need(state string, asks mcp.InputRequestMap) (result, error) {
	res := &mcp.CallToolResult{InputRequests: asks}
	if state != "" {
		res.RequestState = seal(state)
	}
	return res, nil
}

func ask(message, field, kind string) *mcp.ElicitParams {
	return &mcp.ElicitParams{
		Message:         message,
		RequestedSchema: json.RawMessage(fmt.Sprintf(`{"type":"object","properties":{%q:{"type":%q}},"required":[%q]}`, field, kind, field)),
	}
}

func sample(text string) *mcp.CreateMessageParams {
	return &mcp.CreateMessageParams{
		Messages:  []*mcp.SamplingMessage{{Role: "user", Content: &mcp.TextContent{Text: text}}},
		MaxTokens: 50,
	}
}

// accepted returns what the user entered, or nil.
func accepted(in mcp.InputResponseMap, key string) map[string]any {
	r, ok := in[key].(*mcp.ElicitResult)
	if !ok || r == nil || r.Action != "accept" {
		return nil
	}
	return r.Content
}

func sampled(in mcp.InputResponseMap, key string) (string, bool) {
	r, ok := in[key].(*mcp.CreateMessageWithToolsResult)
	if !ok || r == nil {
		return "", false
	}
	for _, c := range r.Content {
		if t, ok := c.(*mcp.TextContent); ok {
			return t.Text, true
		}
	}
	return "", true
}

// stateKey lives as long as the process.
var stateKey = func() []byte {
	k := make([]byte, 32)
	_, _ = rand.Read(k) // never fails
	return k
}()

func mac(state string) string {
	h := hmac.New(sha256.New, stateKey)
	h.Write([]byte(state))
	return hex.EncodeToString(h.Sum(nil))
}

func seal(state string) string { return mac(state) + ":" + state }

func open(sealed string) (string, bool) {
	sum, state, ok := strings.Cut(sealed, ":")
	return state, ok && hmac.Equal([]byte(sum), []byte(mac(state)))
}
