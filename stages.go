package harden

// This file is the only place where the order of protections exists. The order
// is a security property: what is cheap and needs no trust comes first, and
// nothing that a stranger sends is parsed before the stranger has paid for it.

// An httpStage looks at one HTTP request, and refuses it with an error.
type httpStage struct {
	name  string
	check func(*endpoint, *httpExchange) error
}

// httpStages run before the message reaches the server.
var httpStages = []httpStage{
	// The shape costs nothing and tells browsers from clients.
	{"shape", (*endpoint).checkShape},
	// The peer pays before any cryptography.
	{"peer", (*endpoint).checkPeer},
	// Nobody's body is read before its sender is known.
	{"caller", (*endpoint).checkCaller},
	// From here on there is one message that cannot be read in two ways.
	{"message", (*endpoint).checkMessage},
	// A session is only ever this caller's.
	{"handle", (*endpoint).checkHandle},
	// Here as well as below, so that a missing scope answers 403.
	{"permit", (*endpoint).checkPermitHTTP},
	// Here for requests that come alone, so that a refusal does not cost the
	// session that the SDK makes for every request. The method seam asks again
	// only for what was not asked here.
	{"budget", (*endpoint).checkBudgetHTTP},
	{"check", (*endpoint).checkArgumentsHTTP},
}

// A methodStage wraps the stages after it.
type methodStage struct {
	name string
	wrap func(*endpoint, methodHandler) methodHandler
}

// methodStages run around the server's handler, the first one outermost.
var methodStages = []methodStage{
	// Outermost: a panic in any stage or handler ends one call only.
	{"observe", (*endpoint).observe},
	// No principal, no call.
	{"call", before("call", (*endpoint).checkCall)},
	// The one that stdio peers meet; for HTTP it repeats the decision.
	{"permit", before("permit", (*endpoint).checkPermit)},
	// The caller pays before its arguments are parsed.
	{"budget", before("budget", (*endpoint).checkBudget)},
	{"check", before("check", (*endpoint).checkArguments)},
	{"bound", (*endpoint).bound},
	// Innermost: nothing that the handler returned is seen uncleaned.
	{"clean", (*endpoint).clean},
}
