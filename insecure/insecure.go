// Package insecure makes the one value that can weaken a protection of harden.
//
// Every protection is on by default, and no switch in this module is a bool. A
// setting that turns a protection down is a field of type [Waiver], and the
// only way to make one is [Because], which wants the reason in words:
//
//	guard, err := harden.New(harden.WithoutAuth(insecure.Because("fixture of the unit tests")))
//
// So a reviewer finds every weakening of a program by searching for this
// import, and each reason is listed by Guard.Waivers and written to the audit
// log when the server starts.
//
// What it does not do: it does not judge the reason.
package insecure

import "strings"

// A Waiver is a stated reason for running without a protection. The zero value
// waives nothing. A Waiver is immutable, and safe for concurrent use.
type Waiver struct {
	reason string
}

// Because returns a Waiver that carries reason, which is shown to operators and
// written to the audit log as it stands. It panics when reason is blank: a
// weakening that nobody can explain is a programmer's mistake during set-up.
func Because(reason string) Waiver {
	reason = strings.TrimSpace(reason)
	if reason == "" {
		panic("insecure: a waiver needs a reason")
	}
	return Waiver{reason: reason}
}

// Granted reports whether the protection is waived. It is false for the zero
// value.
func (w Waiver) Granted() bool { return w.reason != "" }

// Reason returns the words given to [Because], and "" for the zero value.
func (w Waiver) Reason() string { return w.reason }

// String returns the reason, or "not waived" for the zero value.
func (w Waiver) String() string {
	if !w.Granted() {
		return "not waived"
	}
	return w.reason
}
