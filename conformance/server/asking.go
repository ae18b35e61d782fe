package server

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// asking registers the tools that ask the client while they run, which only
// versions before 2026-07-28 can.
func asking(s *mcp.Server) {
	add(s, "test_sampling", "asks for a completion", one("prompt"), func(ctx context.Context, r request) (result, error) {
		res, err := r.Session.CreateMessage(ctx, &mcp.CreateMessageParams{
			Messages:  []*mcp.SamplingMessage{{Role: "user", Content: &mcp.TextContent{Text: argument(r, "prompt")}}},
			MaxTokens: 100,
		})
		if err != nil {
			return nil, err
		}
		text, _ := res.Content.(*mcp.TextContent)
		if text == nil {
			text = &mcp.TextContent{}
		}
		return say("LLM response: " + text.Text)
	})
	add(s, "test_elicitation", "asks the user", one("message"), func(ctx context.Context, r request) (result, error) {
		return elicit(ctx, r, argument(r, "message"), `{"type":"object","properties":{
			"username":{"type":"string","description":"User's response"},
			"email":{"type":"string","description":"User's email address"}},"required":["username","email"]}`)
	})
	add(s, "test_elicitation_sep1034_defaults", "asks with defaults", anyObject, func(ctx context.Context, r request) (result, error) {
		return elicit(ctx, r, "Please review", `{"type":"object","properties":{
			"name":{"type":"string","default":"John Doe"},
			"age":{"type":"integer","default":30},
			"score":{"type":"number","default":95.5},
			"status":{"type":"string","enum":["active","inactive","pending"],"default":"active"},
			"verified":{"type":"boolean","default":true}}}`)
	})
	add(s, "test_elicitation_sep1330_enums", "asks for choices", anyObject, func(ctx context.Context, r request) (result, error) {
		return elicit(ctx, r, "Please choose", `{"type":"object","properties":{
			"untitledSingle":{"type":"string","enum":["option1","option2","option3"]},
			"titledSingle":{"type":"string","oneOf":[{"const":"value1","title":"First Option"},{"const":"value2","title":"Second Option"},{"const":"value3","title":"Third Option"}]},
			"legacyEnum":{"type":"string","enum":["opt1","opt2","opt3"],"enumNames":["Option One","Option Two","Option Three"]},
			"untitledMulti":{"type":"array","minItems":1,"maxItems":3,"items":{"type":"string","enum":["option1","option2","option3"]}},
			"titledMulti":{"type":"array","minItems":1,"maxItems":3,"items":{"anyOf":[{"const":"value1","title":"First Choice"},{"const":"value2","title":"Second Choice"},{"const":"value3","title":"Third Choice"}]}}}}`)
	})
}

// one is the schema of a tool with one required string.
func one(name string) string {
	return fmt.Sprintf(`{"type":"object","properties":{%q:{"type":"string"}},"required":[%q]}`, name, name)
}

func argument(r request, name string) string {
	var args map[string]string
	if json.Unmarshal(r.Params.Arguments, &args) != nil {
		return ""
	}
	return args[name]
}

func elicit(ctx context.Context, r request, message, schema string) (result, error) {
	res, err := r.Session.Elicit(ctx, &mcp.ElicitParams{Message: message, RequestedSchema: json.RawMessage(schema)})
	if err != nil {
		return nil, err
	}
	answer, err := json.Marshal(res.Content)
	if err != nil {
		return nil, err
	}
	return say("action=" + res.Action + ", content=" + string(answer))
}
