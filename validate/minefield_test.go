package validate

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// call wraps params of a tools/call.
func call(params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
}

// args wraps a value in the arguments of a call.
func args(value string) string { return call(`{"name":"t","arguments":{"v":` + value + `}}`) }

// req is a request of any method.
func req(method, params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
}

func answer(v string) string { return call(`{"name":"t","inputResponses":{"q":` + v + `}}`) }

func nest(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

// minefield is one row per rule: name, body, and the rule that refuses it ("" lets it
// through).
var minefield = [][3]string{
	// The text.
	{"a request is read", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, ""},
	{"white space around and between is read", " \t\r\n{ \"jsonrpc\" : \"2.0\" ,\n\"id\":1,\"method\":\"ping\" }\n ", ""},
	{"an empty body is refused", "", "parse"},
	{"white space alone is refused", "  \n", "parse"},
	{"a byte order mark is refused", "\xef\xbb\xbf" + `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "parse"},
	{"UTF-16 is refused", "\xff\xfe{\x00}\x00", "parse"},
	{"a form feed is no white space", "\f" + `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "parse"},
	{"a no-break space is no white space", "\u00a0" + `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "parse"},
	{"a NUL after the message is refused", `{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\x00", "parse"},
	{"a second message is refused", `{"jsonrpc":"2.0","id":1,"method":"ping"}{"evil":1}`, "parse"},
	{"a second message on a line of its own is refused", `{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\n{}", "parse"},
	{"trailing text is refused", `{"jsonrpc":"2.0","id":1,"method":"ping"} trailing`, "parse"},
	{"a trailing bracket is refused", `{"jsonrpc":"2.0","id":1,"method":"ping"}]`, "parse"},
	{"a trailing comma after the message is refused", `{"jsonrpc":"2.0","id":1,"method":"ping"},`, "parse"},
	{"half a message is refused", `{"jsonrpc":"2.0","id":1,"meth`, "parse"},
	{"a message without its end is refused", `{"jsonrpc":"2.0","id":1,"method":"ping"`, "parse"},
	{"a comment is refused", `{"jsonrpc":"2.0",/*x*/"id":1,"method":"ping"}`, "parse"},
	{"a line comment is refused", `{"jsonrpc":"2.0","id":1,"method":"ping"} // x`, "parse"},
	{"a hash comment is refused", "#x\n" + `{"jsonrpc":"2.0","id":1,"method":"ping"}`, "parse"},
	{"a comma before the brace is refused", `{"jsonrpc":"2.0","id":1,"method":"ping",}`, "parse"},
	{"two commas are refused", `{"jsonrpc":"2.0",,"id":1,"method":"ping"}`, "parse"},
	{"a comma after the brace is refused", `{,"jsonrpc":"2.0","id":1,"method":"ping"}`, "parse"},
	{"no comma is refused", `{"jsonrpc":"2.0" "id":1,"method":"ping"}`, "parse"},
	{"no colon is refused", `{"jsonrpc" "2.0","id":1,"method":"ping"}`, "parse"},
	{"an equals sign is refused", `{"jsonrpc"="2.0","id":1,"method":"ping"}`, "parse"},
	{"a name without quotes is refused", `{jsonrpc:"2.0","id":1,"method":"ping"}`, "parse"},
	{"a member named by a number is refused", `{1:"2.0","id":1,"method":"ping"}`, "parse"},
	{"a member named null is refused", `{null:1}`, "parse"},
	{"single quotes are refused", `{'jsonrpc':'2.0'}`, "parse"},
	{"brackets that do not match are refused", `{"jsonrpc":"2.0","id":1,"method":"ping"]`, "parse"},
	{"text that is not JSON is refused", `GET / HTTP/1.1`, "parse"},
	{"XML is refused", `<a/>`, "parse"},
	{"JSONP is refused", `f({"jsonrpc":"2.0"})`, "parse"},

	// Other top-level values.
	{"a batch is refused", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, "batch"},
	{"an empty batch is refused", `[]`, "batch"},
	{"half a batch is refused", `[`, "batch"},
	{"null is refused", `null`, "request"},
	{"true is refused", `true`, "request"},
	{"a number is refused", `1`, "request"},
	{"a string is refused", `"x"`, "request"},
	{"an empty object is refused", `{}`, "request"},

	// Numbers.
	{"zero is read", args(`0`), ""},
	{"minus zero is read in arguments", args(`-0`), ""},
	{"a fraction is read", args(`1.5`), ""},
	{"an exponent is read", args(`1e5`), ""},
	{"an integer over 2^53 is read", args(`9007199254740993`), ""},
	{"64 digits are read", args(strings.Repeat("9", 64)), ""},
	{"65 digits are refused", args(strings.Repeat("9", 65)), "too_large digits"},
	{"65 digits with a point are refused", args("0." + strings.Repeat("9", 64)), "too_large digits"},
	{"the greatest float64 is read", args(`1.7976931348623157e308`), ""},
	{"a number over the float64 range is refused", args(`1.8e308`), "too_large exponent"},
	{"a number that is infinite to some is refused", args(`1e400`), "too_large exponent"},
	{"an exponent of millions is refused", args(`1e3000000`), "too_large exponent"},
	{"an exponent of minus millions is refused", args(`1e-3000000`), "too_large exponent"},
	{"an exponent that overflows is refused", args(`1e99999999999999999999999`), "too_large exponent"},
	{"an exponent with zeros in front is read", args(`1e+0000000005`), ""},
	{"a tiny number is read", args(`1e-400`), ""},
	{"a tinier number is refused", args(`1e-401`), "too_large exponent"},
	{"a leading zero is refused", args(`01`), "parse"},
	{"a leading plus is refused", args(`+1`), "parse"},
	{"a leading point is refused", args(`.5`), "parse"},
	{"a trailing point is refused", args(`1.`), "parse"},
	{"an empty exponent is refused", args(`1e`), "parse"},
	{"hexadecimal is refused", args(`0x10`), "parse"},
	{"an underscore is refused", args(`1_000`), "parse"},
	{"a suffix is refused", args(`1n`), "parse"},
	{"NaN is refused", args(`NaN`), "parse"},
	{"Infinity is refused", args(`Infinity`), "parse"},
	{"minus Infinity is refused", args(`-Infinity`), "parse"},
	{"a lone minus is refused", args(`-`), "parse"},
	{"digits of another script are refused", args(`１`), "parse"},
	{"True is refused", args(`True`), "parse"},
	{"undefined is refused", args(`undefined`), "parse"},
	{"nul is refused", args(`nul`), "parse"},

	// Strings.
	{"text in any script is read", args(`"日本 🙂 é"`), ""},
	{"an escaped NUL is read in arguments", args(`"\u0000"`), ""},
	{"a pair of surrogates is read", args(`"\ud83d\ude42"`), ""},
	{"U+FFFF is read", args("\"\uffff\""), ""},
	{"DEL is read", args("\"\x7f\""), ""},
	{"a line separator is read", args("\"\u2028\""), ""},
	{"a lone high surrogate is refused", args(`"\ud800"`), "parse"},
	{"a lone low surrogate is refused", args(`"\udc00"`), "parse"},
	{"surrogates in the wrong order are refused", args(`"\ude42\ud83d"`), "parse"},
	{"a high surrogate before text is refused", args(`"\ud83dx"`), "parse"},
	{"a lone surrogate in a name is refused", call(`{"name":"t","arguments":{"\ud800":1}}`), "parse"},
	{"a raw newline is refused", args("\"a\nb\""), "parse"},
	{"a raw tab is refused", args("\"a\tb\""), "parse"},
	{"a raw NUL is refused", args("\"a\x00b\""), "parse"},
	{"an unknown escape is refused", args(`"\x41"`), "parse"},
	{"an escaped single quote is refused", args(`"\'"`), "parse"},
	{"half an escape is refused", args(`"\u12"`), "parse"},
	{"an escape of braces is refused", args(`"\u{41}"`), "parse"},
	{"a string without its end is refused", args(`"a`), "parse"},
	{"bytes ff fe are refused", args("\"\xff\xfe\""), "parse"},
	{"a lone continuation byte is refused", args("\"\x80\""), "parse"},
	{"an overlong slash is refused", args("\"\xc0\xaf\""), "parse"},
	{"an encoded surrogate is refused", args("\"\xed\xa0\x80\""), "parse"},
	{"a code point over U+10FFFF is refused", args("\"\xf4\x90\x80\x80\""), "parse"},
	{"a cut sequence is refused", args("\"\xe2\x82\""), "parse"},
	{"a bad byte in a name is refused", call("{\"name\":\"t\",\"arguments\":{\"\xff\":1}}"), "parse"},
	{"a bad byte outside strings is refused", `{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\xff", "parse"},

	// Members that occur twice.
	{"two methods are refused", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}`, "parse"},
	{"two equal methods are refused", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"ping"}`, "parse"},
	{"two ids are refused", `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, "parse"},
	{"two params are refused", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{},"params":{}}`, "parse"},
	{"two names are refused", call(`{"name":"a","name":"b"}`), "parse"},
	{"two arguments are refused", call(`{"name":"a","arguments":{},"arguments":{}}`), "parse"},
	{"a name with an escape is the same name", call(`{"name":"a","n\u0061me":"b"}`), "parse"},
	{"twins deep in arguments are refused", args(`[{"a":{"b":1,"b":2}}]`), "parse"},
	{"twins in _meta are refused", call(`{"name":"a","_meta":{"x":1,"x":2}}`), "parse"},
	{"empty twins are refused", args(`{"":1,"":2}`), "parse"},
	{"one name in two objects is read", args(`[{"a":1},{"a":1}]`), ""},

	// Sizes.
	{"depth 64 is read", args(nest(61)), ""},
	{"depth 65 is refused", args(nest(62)), "too_large depth"},
	{"depth 100,000 is refused", args(strings.Repeat("[", 100_000)), "too_large depth"},
	{"depth by objects is refused", args(strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100)), "too_large depth"},
	{"20,000 members are read", args("[" + strings.TrimSuffix(strings.Repeat("0,", 20_000-7), ",") + "]"), ""},
	{"20,001 members are refused", args("[" + strings.TrimSuffix(strings.Repeat("0,", 20_000-6), ",") + "]"), "too_large members"},
	{"a name of 1024 bytes is read", args(`{"` + strings.Repeat("k", 1024) + `":1}`), ""},
	{"a name of 1025 bytes is refused", args(`{"` + strings.Repeat("k", 1025) + `":1}`), "too_large key"},
	{"a body over 1 MiB is refused", args(`"` + strings.Repeat("x", 1<<20) + `"`), "too_large bytes"},

	// The envelope.
	{"a notification is read", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, ""},
	{"a result is read", `{"jsonrpc":"2.0","id":1,"result":{}}`, ""},
	{"an error is read", `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no","data":{"A":1,"a":2}}}`, ""},
	{"members in another order are read", `{"params":{"name":"t"},"method":"tools/call","id":1,"jsonrpc":"2.0"}`, ""},
	{"no jsonrpc is refused", `{"id":1,"method":"ping"}`, "request"},
	{"jsonrpc 1.0 is refused", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, "request"},
	{"jsonrpc as a number is refused", `{"jsonrpc":2.0,"id":1,"method":"ping"}`, "request"},
	{"jsonrpc with a space is refused", `{"jsonrpc":"2.0 ","id":1,"method":"ping"}`, "request"},
	{"jsonrpc with an escape is read", `{"jsonrpc":"2\u002e0","id":1,"method":"ping"}`, ""},
	{"an unknown member is refused", `{"jsonrpc":"2.0","id":1,"method":"ping","x":1}`, "request"},
	{"an empty member is refused", `{"jsonrpc":"2.0","id":1,"method":"ping","":1}`, "request"},
	{"no method, result or error is refused", `{"jsonrpc":"2.0","id":1}`, "request"},
	{"a method and a result are refused", `{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, "request"},
	{"a method and an error are refused", `{"jsonrpc":"2.0","id":1,"method":"ping","error":{"code":1,"message":""}}`, "request"},
	{"a result and an error are refused", `{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}`, "request"},
	{"a result with params is refused", `{"jsonrpc":"2.0","id":1,"result":{},"params":{}}`, "request"},
	{"a result without an id is refused", `{"jsonrpc":"2.0","result":{}}`, "request"},
	{"an error with a null id is refused", `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}`, "request"},
	{"a null result is refused", `{"jsonrpc":"2.0","id":1,"result":null}`, "request"},
	{"a result that is a list is refused", `{"jsonrpc":"2.0","id":1,"result":[]}`, "request"},
	{"an error without a code is refused", `{"jsonrpc":"2.0","id":1,"error":{"message":""}}`, "request"},
	{"an error with a fraction is refused", `{"jsonrpc":"2.0","id":1,"error":{"code":1.5,"message":""}}`, "request"},
	{"an error without a message is refused", `{"jsonrpc":"2.0","id":1,"error":{"code":1}}`, "request"},
	{"a null method is refused", `{"jsonrpc":"2.0","id":1,"method":null}`, "request"},
	{"an empty method is refused", `{"jsonrpc":"2.0","id":1,"method":""}`, "request"},
	{"a method with a space is refused", `{"jsonrpc":"2.0","id":1,"method":"pi ng"}`, "request"},
	{"a method with a control character is refused", `{"jsonrpc":"2.0","id":1,"method":"ping\u0000"}`, "request"},
	{"a method outside ASCII is refused", `{"jsonrpc":"2.0","id":1,"method":"pıng"}`, "request"},
	{"a method of 128 bytes is read", `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("m", 128) + `"}`, ""},
	{"a method of 129 bytes is refused", `{"jsonrpc":"2.0","id":1,"method":"` + strings.Repeat("m", 129) + `"}`, "request"},
	{"a method in another case is another method", `{"jsonrpc":"2.0","id":1,"method":"PING"}`, ""},
	{"params as a list are refused", req("ping", `[]`), "request"},
	{"null params are refused", req("ping", `null`), "request"},
	{"params as a string are refused", req("ping", `"x"`), "request"},

	// IDs.
	{"the greatest safe id is read", `{"jsonrpc":"2.0","id":9007199254740991,"method":"ping"}`, ""},
	{"the least safe id is read", `{"jsonrpc":"2.0","id":-9007199254740991,"method":"ping"}`, ""},
	{"an id of 2^53 is refused", `{"jsonrpc":"2.0","id":9007199254740992,"method":"ping"}`, "request"},
	{"an id of -2^53 is refused", `{"jsonrpc":"2.0","id":-9007199254740992,"method":"ping"}`, "request"},
	{"an id of minus zero is refused", `{"jsonrpc":"2.0","id":-0,"method":"ping"}`, "request"},
	{"an id with a fraction is refused", `{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, "request"},
	{"an id with a point is refused", `{"jsonrpc":"2.0","id":1.0,"method":"ping"}`, "request"},
	{"an id with an exponent is refused", `{"jsonrpc":"2.0","id":1e3,"method":"ping"}`, "request"},
	{"a null id is refused", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, "request"},
	{"an id of true is refused", `{"jsonrpc":"2.0","id":true,"method":"ping"}`, "request"},
	{"an id of a list is refused", `{"jsonrpc":"2.0","id":[1],"method":"ping"}`, "request"},
	{"an id of an object is refused", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, "request"},
	{"an empty id is refused", `{"jsonrpc":"2.0","id":"","method":"ping"}`, "request"},
	{"an id of 128 bytes is read", `{"jsonrpc":"2.0","id":"` + strings.Repeat("i", 128) + `","method":"ping"}`, ""},
	{"an id of 129 bytes is refused", `{"jsonrpc":"2.0","id":"` + strings.Repeat("i", 129) + `","method":"ping"}`, "request"},
	{"an id with a newline is refused", `{"jsonrpc":"2.0","id":"a\nb","method":"ping"}`, "request"},
	{"an id outside ASCII is refused", `{"jsonrpc":"2.0","id":"é","method":"ping"}`, "request"},
	{"an id with quotes is read", `{"jsonrpc":"2.0","id":"a\"b","method":"ping"}`, ""},

	// Case and control characters.
	{"METHOD is refused", `{"jsonrpc":"2.0","id":1,"METHOD":"ping"}`, "request"},
	{"Method next to method is refused", `{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}`, "request"},
	{"paramſ is refused", `{"jsonrpc":"2.0","id":1,"method":"ping","param\u017f":{}}`, "request"},
	{"Name next to name is refused", call(`{"name":"a","Name":"b"}`), "params"},
	{"Arguments is refused", call(`{"name":"a","Arguments":{}}`), "params"},
	{"argumentſ is refused", call(`{"name":"a","argumentſ":{}}`), "params"},
	{"tasKId by the Kelvin sign is refused", req("tasks/get", `{"taskId":"a","tas\u212aId":"b"}`), "params"},
	{"_META is refused", call(`{"name":"a","_META":{}}`), "params"},
	{"a version key in another case is refused", call(`{"name":"a","_meta":{"IO.modelcontextprotocol/protocolVersion":"x"}}`), "params"},
	{"two unknown members that fold alike are refused", call(`{"name":"a","xyz":1,"XYZ":2}`), "params"},
	{"two that fold alike outside ASCII are refused", call(`{"name":"a","σx":1,"ςx":2}`), "params"},
	{"an unknown member is read", call(`{"name":"a","xyz":1}`), ""},
	{"a control character in a name is refused", call(`{"name":"a","x\u0000":1}`), "params"},
	{"case in arguments is the tool's", call(`{"name":"a","arguments":{"Name":1,"name":2,"\u0000":3}}`), ""},
	{"case in _meta is the application's", call(`{"name":"a","_meta":{"com.example/A":1,"com.example/a":2}}`), ""},
	{"ClientInfo is refused", req("initialize", `{"protocolVersion":"2025-11-25","ClientInfo":{}}`), "params"},
	{"Version in clientInfo is refused", req("initialize", `{"clientInfo":{"name":"a","version":"1","Version":"2"}}`), "params"},
	{"Roots in capabilities is refused", req("initialize", `{"capabilities":{"Roots":{}}}`), "params"},
	{"case in extensions is the application's", req("initialize", `{"capabilities":{"extensions":{"A":1,"a":2}}}`), ""},
	{"Type in ref is refused", req("completion/complete", `{"ref":{"type":"ref/prompt","name":"a","Type":"x"},"argument":{"name":"a","value":""}}`), "params"},
	{"a method of nobody keeps its case", req("x/y", `{"Name":"a"}`), ""},
	{"a method of nobody has one _meta", req("x/y", `{"_Meta":{}}`), "params"},
	{"a method of nobody has no twins", req("x/y", `{"ab":1,"AB":2}`), "params"},

	// Params.
	{"a call without a name is refused", call(`{}`), "params"},
	{"a call without params is refused", `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, "params"},
	{"an empty name is refused", call(`{"name":""}`), "params"},
	{"a name that is a number is refused", call(`{"name":7}`), "params"},
	{"a name of 2048 bytes is read", call(`{"name":"` + strings.Repeat("n", 2048) + `"}`), ""},
	{"a name of 2049 bytes is refused", call(`{"name":"` + strings.Repeat("n", 2049) + `"}`), "params"},
	{"a name with DEL is refused", call(`{"name":"a\u007f"}`), "params"},
	{"a name with a C1 control is refused", call(`{"name":"a\u0085"}`), "params"},
	{"arguments as a list are refused", call(`{"name":"a","arguments":[]}`), "params"},
	{"null arguments are refused", call(`{"name":"a","arguments":null}`), "params"},
	{"_meta as a list is refused", call(`{"name":"a","_meta":[]}`), "params"},
	{"a prompt's argument is a string", req("prompts/get", `{"name":"p","arguments":{"a":"1"}}`), ""},
	{"a prompt's argument that is a number is refused", req("prompts/get", `{"name":"p","arguments":{"a":1}}`), "params"},
	{"a cursor that is a number is refused", req("tools/list", `{"cursor":1}`), "params"},
	{"a version that is a number is refused", call(`{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":1}}`), "params"},
	{"a version with a newline is refused", call(`{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":"a\nb"}}`), "params"},
	{"cancelling id 1.5 is refused", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1.5}}`, "params"},
	{"cancelling id 1 is read", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, ""},
	{"a reference with name and uri is refused", req("completion/complete", `{"ref":{"type":"ref/prompt","name":"a","uri":"b"}}`), "params"},
	{"a reference of no type is refused", req("completion/complete", `{"ref":{"name":"a"}}`), "params"},
	{"an icon that is no object is refused", req("initialize", `{"clientInfo":{"icons":["x"]}}`), "params"},
}

func TestMinefield(t *testing.T) {
	if len(minefield) < 120 {
		t.Fatalf("got %d rows, want at least 120", len(minefield))
	}
	v := mustNew(t, Config{})
	seen := map[string]bool{}
	for _, row := range minefield {
		if seen[row[0]] {
			t.Errorf("two rows say %q", row[0])
		}
		seen[row[0]] = true
		m, err := v.Read([]byte(row[1]))
		if got := refusal(err); got != row[2] {
			t.Errorf("%s: got %q, want %q (%v)", row[0], got, row[2], err)
			continue
		}
		if m == nil {
			t.Errorf("%s: no message", row[0])
			continue
		}
		if err != nil {
			if m.Canonical != nil || m.Params != nil || m.Arguments != nil {
				t.Errorf("%s: a refused message has parts", row[0])
			}
			continue
		}
		again, err := v.Read(m.Canonical)
		if err != nil {
			t.Errorf("%s: canonical form: %v", row[0], err)
			continue
		}
		if diff := cmp.Diff(m, again); diff != "" {
			t.Errorf("%s: canonical form is another message:\n%s", row[0], diff)
		}
	}
}
