// Command quickstart shows a hardened MCP server at work: an identity provider,
// the server and a client, all on loopback.
//
//	go run ./quickstart          runs the client against the server and prints what happened
//	go run ./quickstart -serve   leaves both running, and prints what to paste
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/hardenmcp/harden"
)

func main() {
	serve := flag.Bool("serve", false, "leave the server running")
	addr := flag.String("addr", "127.0.0.1:8080", "address of the server, with -serve")
	idpAddr := flag.String("idp", "127.0.0.1:9090", "address of the identity provider, with -serve")
	flag.Parse()
	slog.SetLogLoggerLevel(slog.LevelWarn) // the identity provider logs its routes

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *serve {
		err = runServer(ctx, os.Stdout, *addr, *idpAddr)
	} else {
		err = runDemo(ctx, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// runDemo starts everything on free ports, runs the demo, and stops.
func runDemo(ctx context.Context, out io.Writer) error {
	var log auditLog
	s, err := start("127.0.0.1:0", "127.0.0.1:0", slog.NewJSONHandler(&log, nil))
	if err != nil {
		return err
	}
	err = demo(out, &peer{ctx: ctx, resource: s.resource, issuer: s.issuer}, &log)
	return errors.Join(err, s.stop())
}

// runServer starts everything and waits for an interrupt.
func runServer(ctx context.Context, out io.Writer, addr, idpAddr string) error {
	s, err := start(addr, idpAddr, slog.NewJSONHandler(os.Stderr, nil))
	if err != nil {
		return err
	}
	usage(out, s.resource, s.issuer)
	<-ctx.Done()
	return s.stop()
}

// running is what start started.
type running struct {
	resource, issuer string
	guard            *harden.Guard
	servers          []*http.Server
}

func start(addr, idpAddr string, log slog.Handler) (*running, error) {
	idpListener, err := net.Listen("tcp", idpAddr)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &running{
		issuer:   "http://" + idpListener.Addr().String(),
		resource: "http://" + listener.Addr().String() + "/mcp",
	}
	idpHandler, err := newIDP(s.issuer)
	if err != nil {
		return nil, err
	}
	var handler http.Handler
	if s.guard, handler, err = newHandler(s.resource, s.issuer, log); err != nil {
		return nil, err
	}
	return s, errors.Join(s.serve(idpListener, idpHandler), s.serve(listener, handler))
}

func (s *running) serve(listener net.Listener, handler http.Handler) error {
	server, err := harden.Server(listener.Addr().String(), handler)
	if err != nil {
		return err
	}
	s.servers = append(s.servers, server)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("server ended", "error", err)
		}
	}()
	return nil
}

// stop closes the guard first: it ends the streams that a server would wait
// for.
func (s *running) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.guard.Close(ctx)
	for _, server := range s.servers {
		err = errors.Join(err, server.Shutdown(ctx))
	}
	return err
}
