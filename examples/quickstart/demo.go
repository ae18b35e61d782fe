package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// want is what a row must show. Empty fields are not compared.
type want struct {
	status          int
	code            int64
	toolError       bool
	outcome, reason string // of the audit record
	challenge       string // is part of WWW-Authenticate
	message         string // is part of the error or the result
}

// row is one request of the demo.
type row struct {
	name, version string
	run           func() (observed, error)
	want          want
}

var errUnexpected = errors.New("not everything was as expected")

// demo runs every row and prints what came back. It returns an error when a row
// is not as expected.
func demo(out io.Writer, p *peer, log *auditLog) error {
	rows, err := script(p)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, columns, "#", "request", "version", "HTTP", "audit: outcome, reason, rule, correlation ID")
	failed := 0
	for i, r := range rows {
		o, err := r.run()
		line := await(log, o.id)
		faults := compare(r.want, o, line)
		if err != nil {
			faults = append(faults, err.Error())
		}
		show(out, i+1, r, o, line, faults)
		if len(faults) > 0 {
			failed++
		}
	}
	fmt.Fprintf(out, "\n%d of %d as expected\n", len(rows)-failed, len(rows))
	if failed > 0 {
		return errUnexpected
	}
	return nil
}

// await finds the audit record of an answer. It is written before the answer,
// but an answer in parts is seen before it ends.
func await(log *auditLog, id string) auditLine {
	for i := 0; id != "" && i < 100; i++ {
		if line, ok := log.find(id); ok {
			return line
		}
		time.Sleep(10 * time.Millisecond)
	}
	return auditLine{}
}

func compare(w want, o observed, line auditLine) []string {
	var faults []string
	check := func(what string, got, want any) {
		if got != want {
			faults = append(faults, fmt.Sprintf("%s: got %v, want %v", what, got, want))
		}
	}
	part := func(what, got, want string) {
		if !strings.Contains(got, want) {
			faults = append(faults, fmt.Sprintf("%s: got %q, want %q in it", what, got, want))
		}
	}
	check("status", o.status, w.status)
	check("code", o.code, w.code)
	check("tool error", o.toolError, w.toolError)
	check("outcome", line.Outcome, w.outcome)
	check("reason", line.Reason, w.reason)
	part("challenge", o.challenge, w.challenge)
	part("message", o.message, w.message)
	if w.challenge == "" {
		check("challenge", o.challenge, "")
	}
	if strings.Contains(o.message, "hunter2") || strings.Contains(o.message, "10.0.0.5") {
		faults = append(faults, "the message tells what only the operator may know")
	}
	return faults
}

// columns are those of the table. What a row has more is below it.
const columns = "%2v  %-46s %-11s %-5v %s\n"

// show prints one row.
func show(out io.Writer, n int, r row, o observed, line auditLine, faults []string) {
	record := strings.Join(strings.Fields(strings.Join([]string{line.Outcome, line.Reason, line.Rule, line.ID}, " ")), " ")
	fmt.Fprintf(out, columns, n, r.name, r.version, o.status, record)
	answer := o.message
	switch {
	case o.code != 0:
		answer = fmt.Sprintf("error %d: %s", o.code, o.message)
	case o.toolError:
		answer = "tool error: " + o.message
	}
	below := func(label, text string) {
		if text != "" {
			text = strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", 23))
			fmt.Fprintf(out, "      %-16s %s\n", label, text)
		}
	}
	below("answer", answer)
	below("WWW-Authenticate", o.challenge)
	below("Retry-After", o.retry)
	for _, f := range faults {
		below("NOT AS EXPECTED", f)
	}
}
