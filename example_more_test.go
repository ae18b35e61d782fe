package harden_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/hardenmcp/harden"
	"github.com/hardenmcp/harden/access"
)

func localGuard() *harden.Guard {
	guard, err := harden.New(quietly(), harden.WithPrincipal(access.Principal{Issuer: "local", Subject: "owner"}))
	if err != nil {
		log.Fatal(err)
	}
	return guard
}

func ExampleGuard_Handler() {
	guard, err := harden.New(quietly(), harden.WithAuth(notesAuth()))
	if err != nil {
		log.Fatal(err)
	}
	handler, err := guard.Handler(notesServer())
	fmt.Println(handler != nil, err)
	// Output: true <nil>
}

// A transport of the application's own: install the middleware last.
func ExampleGuard_Middleware() {
	server := notesServer()
	server.AddReceivingMiddleware(localGuard().Middleware())

	here, there := mcp.NewInMemoryTransports()
	if _, err := server.Connect(context.Background(), there, nil); err != nil {
		log.Fatal(err)
	}
	client, err := mcp.NewClient(&mcp.Implementation{Name: "c", Version: "1"}, nil).Connect(context.Background(), here, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	res, err := client.CallTool(context.Background(), &mcp.CallToolParams{Name: "read_note", Arguments: map[string]any{"title": 7}})
	fmt.Println(res.IsError, err)
	// Output: true <nil>
}

func ExampleGuard_Waivers() {
	fmt.Println(len(localGuard().Waivers()))
	// Output: 0
}

// Close the guard before the server: it ends the streams that
// http.Server.Shutdown would wait for.
func ExampleGuard_Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(localGuard().Close(ctx))
	// Output: <nil>
}

func ExampleServeTLS() {
	_, err := harden.Server(":443", nil, harden.ServeTLS(&tls.Config{MinVersion: tls.VersionTLS13}))
	fmt.Println(err)
	// Output: harden: Server needs a handler
}

func ExampleBehindProxy() {
	_, err := harden.Server("10.0.0.5:8080", nil, harden.BehindProxy(netip.MustParsePrefix("10.0.0.1/32")))
	fmt.Println(err)
	// Output: harden: Server needs a handler
}

func ExampleCaller() {
	_, ok := harden.Caller(context.Background()) // outside a guard
	fmt.Println(ok)
	// Output: false
}

func ExampleCorrelationID() {
	fmt.Printf("%q\n", harden.CorrelationID(context.Background())) // outside a guard
	// Output: ""
}
