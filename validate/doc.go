// Package validate reads JSON-RPC messages so strictly that no two readers can
// see two things in one, and checks the arguments of tools against the schemas
// that the server publishes.
//
//	v, err := validate.New(validate.Config{})
//	if err != nil {
//		return err
//	}
//	if err := v.Learn("add", schemaOfAdd); err != nil {
//		return err // the schema itself does not work
//	}
//	msg, err := v.Read(body) // hand on msg.Canonical, never body
//	…
//	err = v.Check(ctx, &access.Call{Method: "tools/call", Name: msg.Name, Arguments: msg.Arguments})
//
// What the gate stops: more than one message, trailing bytes, a byte order
// mark, bytes that are not UTF-8, lone surrogates, members that occur twice at
// any depth, protocol members in another case (Go's encoding/json takes
// "ACTION" for "action"), IDs that a reader would round, numbers that no reader
// agrees on, unknown envelope members, params that are not an object, and every
// size that a stranger can choose (RFC 7493; JSON-RPC 2.0; MCP base protocol).
// What is let through is written out again in one form, with the digits of
// numbers as they came.
//
// What the schemas stop: arguments that a tool did not announce. Schemas are
// JSON Schema 2020-12; references stay within the schema, regular expressions
// are those of package regexp (RE2), formats are annotations, and a schema that
// is silent about other members allows none (waived by [Config.Open]).
//
// What it does not do: it does not judge what a well-formed argument means,
// look at results, or decide who may call.
package validate
