// Package server is an MCP server that has whatever the official conformance
// suite asks for. The names of its tools, prompts and resources are the
// suite's.
package server

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden/access"
)

type (
	request = *mcp.CallToolRequest
	result  = *mcp.CallToolResult
	handler = func(context.Context, request) (result, error)
)

// anyObject is the schema of tools without arguments.
const anyObject = `{"type":"object","properties":{}}`

// New returns the server. Its watched resource is updated until ctx ends.
func New(ctx context.Context) *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "harden-conformance", Version: "1.0.0"}, &mcp.ServerOptions{
		CompletionHandler: func(context.Context, *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
			return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: []string{}}}, nil
		},
		SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	})
	tools(s)
	asking(s)
	rounds(s)
	resources(s)
	prompts(s)
	go watch(ctx, s)
	return s
}

// watch says every second that the watched resource has changed.
func watch(ctx context.Context, s *mcp.Server) {
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
			_ = s.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: watched})
		}
	}
}

func add(s *mcp.Server, name, description, schema string, h handler) {
	s.AddTool(&mcp.Tool{Name: name, Description: description, InputSchema: json.RawMessage(schema)},
		func(ctx context.Context, r request) (result, error) { return h(ctx, r) })
}

func content(c ...mcp.Content) (result, error) { return &mcp.CallToolResult{Content: c}, nil }

func say(text string) (result, error) { return content(&mcp.TextContent{Text: text}) }

// fixed is a tool that always answers the same.
func fixed(c ...mcp.Content) handler {
	return func(context.Context, request) (result, error) { return content(c...) }
}

func tools(s *mcp.Server) {
	image := &mcp.ImageContent{Data: decode(pixel), MIMEType: "image/png"}
	embedded := func(uri string) mcp.Content {
		return &mcp.EmbeddedResource{Resource: &mcp.ResourceContents{URI: uri, MIMEType: "text/plain", Text: "embedded text"}}
	}
	add(s, "test_simple_text", "answers with text", anyObject, fixed(&mcp.TextContent{Text: "This is a simple text response for testing."}))
	add(s, "test_image_content", "answers with an image", anyObject, fixed(image))
	add(s, "test_audio_content", "answers with audio", anyObject, fixed(&mcp.AudioContent{Data: decode(silence), MIMEType: "audio/wav"}))
	add(s, "test_embedded_resource", "answers with a resource", anyObject, fixed(embedded("test://embedded-resource")))
	add(s, "test_multiple_content_types", "answers with text, image and resource", anyObject,
		fixed(&mcp.TextContent{Text: "several kinds"}, image, embedded("test://mixed-content-resource")))
	add(s, "test_tool_with_logging", "logs while it runs", anyObject, func(ctx context.Context, r request) (result, error) {
		for _, line := range []string{"Tool execution started", "Tool processing data", "Tool execution completed"} {
			_ = r.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "info", Data: line})
			time.Sleep(50 * time.Millisecond)
		}
		return say("logged")
	})
	add(s, "test_tool_with_progress", "reports progress", anyObject, func(ctx context.Context, r request) (result, error) {
		for _, p := range []float64{0, 50, 100} {
			_ = r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: p, Total: 100})
			time.Sleep(50 * time.Millisecond)
		}
		return say("reported")
	})
	add(s, "test_error_handling", "always fails", anyObject, func(context.Context, request) (result, error) {
		return nil, access.Safe(errors.New("this tool intentionally returns an error for testing"))
	})
	add(s, "test_logging_tool", "logs one line", anyObject, func(ctx context.Context, r request) (result, error) {
		_ = r.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "info", Data: "one line"})
		return say("logged if it was asked for")
	})
	add(s, "test_streaming_elicitation", "answers on its stream", anyObject, fixed(&mcp.TextContent{Text: "streamed"}))
	add(s, "test_reconnection", "closes its stream and answers later", anyObject, func(_ context.Context, r request) (result, error) {
		if x := r.GetExtra(); x != nil && x.CloseSSEStream != nil {
			x.CloseSSEStream(mcp.CloseSSEStreamArgs{RetryAfter: 10 * time.Millisecond})
		}
		time.Sleep(100 * time.Millisecond)
		return say("reconnected")
	})
	add(s, "json_schema_2020_12_tool", "has a schema of many keywords", schema2020, fixed(&mcp.TextContent{Text: "valid"}))
	add(s, "test_x_mcp_header", "has an argument that is mirrored into a header",
		`{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"},"level":{"type":"integer"}}}`,
		fixed(&mcp.TextContent{Text: "mirrored"}))
	changes(s)
}

// changes are tools that change a list, so that subscribers hear of it.
func changes(s *mcp.Server) {
	add(s, "test_trigger_tool_change", "changes the list of tools", anyObject, func(context.Context, request) (result, error) {
		add(s, "transient_tool", "comes and goes", anyObject, fixed())
		return say("changed")
	})
	add(s, "test_trigger_prompt_change", "changes the list of prompts", anyObject, func(context.Context, request) (result, error) {
		s.AddPrompt(&mcp.Prompt{Name: "transient_prompt", Description: "a prompt of the suite"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return &mcp.GetPromptResult{}, nil
		})
		return say("changed")
	})
	add(s, "test_missing_capability", "needs a client that can sample", anyObject, func(_ context.Context, r request) (result, error) {
		if c := r.ClientCapabilities(); c != nil && c.Sampling != nil {
			return say("the client can sample")
		}
		return nil, &jsonrpc.Error{
			Code:    mcp.CodeMissingRequiredClientCapabilities,
			Message: "sampling is required",
			Data:    json.RawMessage(`{"requiredCapabilities":{"sampling":{}}}`),
		}
	})
}

const watched = "test://watched-resource"

func resources(s *mcp.Server) {
	read := func(mime, text string, blob []byte) mcp.ResourceHandler {
		return func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, MIMEType: mime, Text: text, Blob: blob}}}, nil
		}
	}
	s.AddResource(&mcp.Resource{URI: "test://static-text", Name: "static-text", MIMEType: "text/plain"},
		read("text/plain", "This is the content of the static text resource.", nil))
	s.AddResource(&mcp.Resource{URI: "test://static-binary", Name: "static-binary", MIMEType: "image/png"},
		read("image/png", "", decode(pixel)))
	s.AddResource(&mcp.Resource{URI: watched, Name: "watched-resource", MIMEType: "text/plain"}, read("text/plain", "watched", nil))
	s.AddResourceTemplate(&mcp.ResourceTemplate{URITemplate: "test://template/{id}/data", Name: "template", MIMEType: "application/json"},
		func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
			id := strings.TrimSuffix(strings.TrimPrefix(r.Params.URI, "test://template/"), "/data")
			text, err := json.Marshal(map[string]any{"id": id, "templateTest": true, "data": "Data for ID: " + id})
			if err != nil {
				return nil, err
			}
			return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, MIMEType: "application/json", Text: string(text)}}}, nil
		})
}

func prompts(s *mcp.Server) {
	user := func(c ...mcp.Content) (*mcp.GetPromptResult, error) {
		res := &mcp.GetPromptResult{}
		for _, one := range c {
			res.Messages = append(res.Messages, &mcp.PromptMessage{Role: "user", Content: one})
		}
		return res, nil
	}
	required := func(names ...string) (out []*mcp.PromptArgument) {
		for _, n := range names {
			out = append(out, &mcp.PromptArgument{Name: n, Description: n, Required: true})
		}
		return out
	}
	s.AddPrompt(&mcp.Prompt{Name: "test_simple_prompt", Description: "a prompt of the suite"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return user(&mcp.TextContent{Text: "This is a simple prompt for testing."})
	})
	s.AddPrompt(&mcp.Prompt{Name: "test_prompt_with_arguments", Description: "a prompt of the suite", Arguments: required("arg1", "arg2")},
		func(_ context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return user(&mcp.TextContent{Text: "arg1='" + r.Params.Arguments["arg1"] + "', arg2='" + r.Params.Arguments["arg2"] + "'"})
		})
	s.AddPrompt(&mcp.Prompt{Name: "test_prompt_with_embedded_resource", Description: "a prompt of the suite", Arguments: required("resourceUri")},
		func(_ context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			return user(&mcp.EmbeddedResource{Resource: &mcp.ResourceContents{
				URI: r.Params.Arguments["resourceUri"], MIMEType: "text/plain", Text: "embedded text",
			}}, &mcp.TextContent{Text: "Look at it."})
		})
	s.AddPrompt(&mcp.Prompt{Name: "test_prompt_with_image", Description: "a prompt of the suite"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return user(&mcp.ImageContent{Data: decode(pixel), MIMEType: "image/png"}, &mcp.TextContent{Text: "Look at it."})
	})
	s.AddPrompt(&mcp.Prompt{Name: "test_input_required_result_prompt", Description: "a prompt of the suite"}, func(_ context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		if got := accepted(r.Params.InputResponses, "user_context"); got != nil {
			text, _ := got["context"].(string)
			return user(&mcp.TextContent{Text: "Context: " + text})
		}
		return &mcp.GetPromptResult{InputRequests: mcp.InputRequestMap{"user_context": ask("Which context?", "context", "string")}}, nil
	})
}

// decode decodes one of the constants below.
func decode(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

const (
	// One pixel as PNG, and a WAV without a sample.
	pixel   = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
	silence = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

	schema2020 = `{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"type": "object",
		"$defs": {"address": {"$anchor": "addressDef", "type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
		"properties": {
			"name": {"type": "string"},
			"address": {"$ref": "#/$defs/address"},
			"contactMethod": {"type": "string", "enum": ["phone", "email"]},
			"phone": {"type": "string"},
			"email": {"type": "string"}
		},
		"allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
		"if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
		"then": {"required": ["phone"]},
		"else": {"required": ["email"]},
		"additionalProperties": false
	}`
)
