package insecure_test

import (
	"fmt"
	"testing"

	"github.com/hardenmcp/harden/insecure"
)

func TestWaiver(t *testing.T) {
	var none insecure.Waiver
	if none.Granted() || none.Reason() != "" || none.String() != "not waived" {
		t.Errorf("zero value: got %v %q %q, want a waiver of nothing", none.Granted(), none.Reason(), none)
	}
	w := insecure.Because("  loopback demo ")
	if !w.Granted() || w.Reason() != "loopback demo" || w.String() != "loopback demo" {
		t.Errorf("granted: got %v %q %q", w.Granted(), w.Reason(), w)
	}
}

func TestBlankReasonPanics(t *testing.T) {
	for _, reason := range []string{"", " ", "\t\n"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Because(%q): no panic", reason)
				}
			}()
			insecure.Because(reason)
		}()
	}
}

func ExampleBecause() {
	w := insecure.Because("the identity provider of this demo is on loopback")
	fmt.Println(w.Granted(), w)
	// Output: true the identity provider of this demo is on loopback
}

func ExampleWaiver() {
	var w insecure.Waiver
	fmt.Println(w.Granted(), w)
	// Output: false not waived
}
