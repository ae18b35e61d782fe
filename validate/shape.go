package validate

import "maps"

// A slot is a place where the reader leaves the position of a value that the
// message is judged by.
type slot uint8

const (
	noSlot slot = iota
	slotJSONRPC
	slotID
	slotMethod
	slotParams
	slotResult
	slotError
	slotMeta
	slotMetaVersion
	slotMetaLevel
	slotName
	slotURI
	slotTask
	slotArguments
	slotLevel
	slotProtocol
	slotRequestID
	slotRef
	slotRefType
	slotRefName
	slotRefURI
	slotURIs
	slotRoots
	slotAction
	slotRole
	slotCode
	slotReason
	slots
)

// A field is a member that the protocol owns.
type field struct {
	slot slot
	// kinds lists the kinds of value that are allowed, as jsontext names them;
	// "" allows all.
	kinds string
	child *shape
}

// A shape describes an object of the protocol, or an array of such objects.
// Values without a shape belong to the application.
type shape struct {
	rule   string // of the refusal when the shape is broken
	fields map[string]*field
	folded map[string]string // fold(name) to name
	closed bool              // no other member is allowed
	mixed  bool              // the other members are the application's
	each   *field            // what every other member is
	item   *shape            // of an array
	// check looks at the slots after an object was read.
	check func(*reader)
	// clear are the slots that are this object's own.
	clear []slot
}

const (
	text    = `"`
	object  = "{"
	array   = "["
	number  = "0"
	boolean = "tf"
)

// The protocol's objects. They are the union over all protocol versions and
// methods: a member that means something in one method has no honest use under
// another case in a second one.
var (
	freeObject = &field{kinds: object}
	aText      = &field{kinds: text}
	aNumber    = &field{kinds: number}
	aBool      = &field{kinds: boolean}
	anything   = &field{}

	// stringsOnly is a map that the SDK decodes into strings.
	stringsOnly = &shape{rule: "params", each: aText, mixed: true}

	iconShape = &shape{rule: "params", fields: map[string]*field{
		"src": aText, "mimeType": aText, "sizes": anything, "theme": aText,
	}}
	implementationShape = &shape{rule: "params", fields: map[string]*field{
		"name": aText, "title": aText, "description": aText, "version": aText, "websiteUrl": aText,
		"icons": {kinds: array, child: &shape{rule: "params", item: iconShape}},
	}}
	capabilityShape = &shape{rule: "params", fields: map[string]*field{
		"experimental": freeObject, "extensions": freeObject,
		"roots":    {kinds: object, child: namesShape(aBool, "listChanged")},
		"sampling": {kinds: object, child: namesShape(freeObject, "context", "tools")},
		"elicitation": {
			kinds: object, child: namesShape(freeObject, "form", "url"),
		},
		"tasks": freeObject,
	}}
	metaShape = &shape{rule: "params", mixed: true, fields: map[string]*field{
		"io.modelcontextprotocol/protocolVersion":    {kinds: text, slot: slotMetaVersion},
		"io.modelcontextprotocol/logLevel":           {kinds: text, slot: slotMetaLevel},
		"io.modelcontextprotocol/clientInfo":         freeObject,
		"io.modelcontextprotocol/clientCapabilities": freeObject,
		"io.modelcontextprotocol/serverInfo":         freeObject,
		"io.modelcontextprotocol/subscriptionId":     anything,
		"io.modelcontextprotocol/related-task":       freeObject,
		"progressToken":                              {kinds: text + number},
	}}
	innerMeta = &field{kinds: object} // of a part of a message

	rootShape = &shape{rule: "params", fields: map[string]*field{
		"_meta": innerMeta, "name": aText, "uri": aText,
	}}
	answerFields = map[string]*field{
		"_meta": innerMeta, "action": {slot: slotAction}, "role": {slot: slotRole},
		"roots":   {slot: slotRoots, child: &shape{rule: "params", item: rootShape}},
		"content": anything, "model": aText, "stopReason": aText,
	}
	answerSlots = []slot{slotAction, slotRole, slotRoots}
	// answerShape is what a client answers to the server's questions.
	answerShape = &shape{rule: "params", fields: answerFields, clear: answerSlots, check: (*reader).checkAnswer}
	resultShape = &shape{rule: "request", fields: answerFields, clear: answerSlots, check: (*reader).checkResult}
	errorShape  = &shape{rule: "request", check: (*reader).checkError, fields: map[string]*field{
		"code": {slot: slotCode, kinds: number}, "message": {slot: slotReason, kinds: text}, "data": anything,
	}}

	paramFields = map[string]*field{
		"_meta":           {slot: slotMeta, kinds: object, child: metaShape},
		"name":            {slot: slotName, kinds: text},
		"uri":             {slot: slotURI, kinds: text},
		"taskId":          {slot: slotTask, kinds: text},
		"arguments":       {slot: slotArguments, kinds: object},
		"level":           {slot: slotLevel, kinds: text},
		"protocolVersion": {slot: slotProtocol, kinds: text},
		"requestId":       {slot: slotRequestID},
		"inputResponses":  {kinds: object, child: &shape{rule: "params", mixed: true, each: &field{kinds: object, child: answerShape}}},
		"requestState":    aText,
		"capabilities":    {kinds: object, child: capabilityShape},
		"clientInfo":      {kinds: object, child: implementationShape},
		"cursor":          aText,
		"ref": {slot: slotRef, kinds: object, child: &shape{rule: "params", fields: map[string]*field{
			"type": {slot: slotRefType, kinds: text},
			"name": {slot: slotRefName, kinds: text},
			"uri":  {slot: slotRefURI, kinds: text}, "title": aText,
		}}},
		"argument": {kinds: object, child: namesShape(aText, "name", "value")},
		"context": {kinds: object, child: &shape{rule: "params", fields: map[string]*field{
			"arguments": {kinds: object, child: stringsOnly},
		}}},
		"notifications": {kinds: object, child: &shape{rule: "params", fields: map[string]*field{
			"toolsListChanged": aBool, "promptsListChanged": aBool, "resourcesListChanged": aBool,
			"resourceSubscriptions": {slot: slotURIs, kinds: array},
		}}},
		"reason":        aText,
		"progressToken": {kinds: text + number},
		"progress":      aNumber,
		"total":         aNumber,
		"message":       aText,
		"task":          {kinds: object, child: namesShape(aNumber, "ttl")},
	}
	paramShape  = &shape{rule: "params", fields: paramFields}
	promptShape = &shape{rule: "params", fields: promptFields()}
	// otherShape is for methods that MCP does not have.
	otherShape = &shape{rule: "params", fields: map[string]*field{
		"_meta":          paramFields["_meta"],
		"inputResponses": paramFields["inputResponses"],
		"requestState":   paramFields["requestState"],
	}}

	envelope = &shape{rule: "request", closed: true, fields: map[string]*field{
		"jsonrpc": {slot: slotJSONRPC, kinds: text},
		"id":      {slot: slotID, kinds: text + number},
		"method":  {slot: slotMethod, kinds: text},
		"params":  {slot: slotParams, kinds: object},
		"result":  {slot: slotResult, kinds: object, child: resultShape},
		"error":   {slot: slotError, kinds: object, child: errorShape},
	}}
)

// promptFields are paramFields with arguments that are strings.
func promptFields() map[string]*field {
	m := maps.Clone(paramFields)
	m["arguments"] = &field{slot: slotArguments, kinds: object, child: stringsOnly}
	return m
}

func namesShape(f *field, names ...string) *shape {
	s := &shape{rule: "params", fields: map[string]*field{}}
	for _, n := range names {
		s.fields[n] = f
	}
	return s
}

// A method is what the gate knows about a method of the protocol.
type method struct {
	name  string // so that a known method costs no string
	shape *shape
	// subject is the member that Message.Name is taken from.
	subject slot
}

var methods = map[string]*method{}

func init() {
	for _, name := range []string{
		"initialize", "ping", "tools/list", "prompts/list", "resources/list", "resources/templates/list",
		"logging/setLevel", "server/discover", "subscriptions/listen", "tasks/list",
		"notifications/initialized", "notifications/cancelled", "notifications/progress",
		"notifications/roots/list_changed", "notifications/tasks/status", "notifications/elicitation/complete",
	} {
		methods[name] = &method{name, paramShape, noSlot}
	}
	for name, subject := range map[string]slot{
		"tools/call": slotName, "prompts/get": slotName, "completion/complete": slotRef,
		"resources/read": slotURI, "resources/subscribe": slotURI, "resources/unsubscribe": slotURI,
		"tasks/get": slotTask, "tasks/result": slotTask, "tasks/cancel": slotTask, "tasks/update": slotTask,
	} {
		methods[name] = &method{name, paramShape, subject}
	}
	methods["prompts/get"].shape = promptShape
	seen := map[*shape]bool{}
	for _, s := range []*shape{envelope, paramShape, promptShape, otherShape} {
		s.index(seen)
	}
}

// index prepares the lookup of other spellings, here and below.
func (s *shape) index(seen map[*shape]bool) {
	if s == nil || seen[s] {
		return
	}
	seen[s] = true
	s.folded = make(map[string]string, len(s.fields))
	for name, f := range s.fields {
		s.folded[fold(name)] = name
		f.child.index(seen)
	}
	if s.each != nil {
		s.each.child.index(seen)
	}
	s.item.index(seen)
}
