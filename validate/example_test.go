package validate_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/hardenmcp/harden/access"
	"github.com/hardenmcp/harden/validate"
)

func ExampleNew() {
	_, err := validate.New(validate.Config{Limits: validate.Limits{Depth: -1}})
	fmt.Println(err)
	// Output: validate: Config.Limits.Depth is negative
}

func ExampleValidator_MaxBytes() {
	v, _ := validate.New(validate.Config{})
	fmt.Println(v.MaxBytes())
	// Output: 1048576
}

func ExampleValidator_Read() {
	v, _ := validate.New(validate.Config{})
	m, err := v.Read([]byte(`{ "id": 1, "jsonrpc": "2.0", "method": "tools/call", "params": {"name": "add", "arguments": {"a": 9007199254740993}} }`))
	fmt.Println(m.Name, string(m.Arguments), err)
	fmt.Println(string(m.Canonical))

	_, err = v.Read([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","Name":"drop"}}`))
	var refusal *access.Error
	errors.As(err, &refusal)
	fmt.Println(refusal.Reason, refusal.Rule, refusal.Violations)
	// Output:
	// add {"a":9007199254740993} <nil>
	// {"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":9007199254740993}}}
	// invalid params [{/params/Name case exactly "name"}]
}

func ExampleValidator_ReadBatch() {
	v, _ := validate.New(validate.Config{})
	messages, err := v.ReadBatch([]byte(`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/initialized"}]`), 32)
	fmt.Println(len(messages), err)
	// Output: 2 <nil>
}

func ExampleValidator_Learn() {
	v, _ := validate.New(validate.Config{})
	fmt.Println(v.Learn("get", []byte(`{"type":"object","properties":{"a":{"$ref":"https://example.com/a"}}}`)))
	// Output: validate: tool "get": $ref at "/properties/a" leaves the schema: "https://example.com/a"
}

func ExampleValidator_Known() {
	v, _ := validate.New(validate.Config{})
	fmt.Println(v.Known("add"), v.Learn("add", []byte(`{"type":"object"}`)), v.Known("add"))
	// Output: false <nil> true
}

func ExampleValidator_Forget() {
	v, _ := validate.New(validate.Config{})
	_ = v.Learn("add", []byte(`{"type":"object"}`))
	v.Forget("add")
	fmt.Println(v.Known("add"))
	// Output: false
}

func ExampleValidator_Check() {
	v, _ := validate.New(validate.Config{})
	_ = v.Learn("add", []byte(`{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}`))
	err := v.Check(context.Background(), &access.Call{Method: "tools/call", Name: "add", Arguments: []byte(`{"a":"secret","b":1}`)})
	var refusal *access.Error
	errors.As(err, &refusal)
	fmt.Println(refusal.Reason, refusal.Violations)
	// Output: invalid [{/a type integer} {/b additionalProperties no such member}]
}
