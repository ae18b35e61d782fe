#!/usr/bin/env bash
# The tests: one line per step, the whole output of a step when it fails.
# Installs what is missing (Debian packages, npm packages, Go modules).
set -uo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
counts=$(mktemp)
trap 'rm -f "$log" "$counts"' EXIT

modules=(. examples conformance interop)

step() { # step NAME COMMAND...
  local name=$1 start=$SECONDS
  shift
  if "$@" >"$log" 2>&1; then
    printf 'ok   %-34s %4ds\n' "$name" $((SECONDS - start))
    return 0
  fi
  printf 'FAIL %-34s %4ds\n' "$name" $((SECONDS - start))
  tail -n 200 "$log"
  tally 1
  exit 1
}

tally() { # the counted tests, and what failed besides
  local passed failed
  passed=$(grep -c '"Action":"pass".*"Test":' "$counts")
  failed=$(grep -c '"Action":"fail".*"Test":' "$counts")
  [ "$1" -eq 0 ] || [ "$failed" -gt 0 ] || failed=$1
  echo "$passed passed, $failed failed"
}

need() { command -v "$1" >/dev/null 2>&1; }

install() {
  if ! need go; then
    echo "Go 1.26 is needed" >&2
    return 1
  fi
  need npm && need node && need git && need gcc && return 0
  apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nodejs npm git gcc libc6-dev
}

each() { for m in "${modules[@]}"; do (cd "$m" && "$@") || return 1; done; }

format() {
  local bad
  bad=$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l) || return 1
  [ -z "$bad" ] || { echo "not formatted: $bad"; return 1; }
}

tidy() { each go mod tidy -diff; }

lint() { each go tool -modfile="$PWD/internal/tools/go.mod" golangci-lint run --config "$PWD/.golangci.yml" ./...; }

tests() { # the tests of one module, counted
  (cd "$1" && go test -race -json ./...) >"$log.json"
  local code=$?
  cat "$log.json" >>"$counts"
  # What a person wants to read of it.
  grep -hoE '"Output":"(--- FAIL|panic|FAIL|\s+\w+_test.go).*' "$log.json" | head -100
  rm -f "$log.json"
  return "$code"
}

step install install
step "npm packages" bash -c 'cd interop/ts && { [ -d node_modules ] || npm ci --no-audit --no-fund; }'
step "go modules" each go mod download
step gofmt format
step "go mod tidy" tidy
step "go vet" each go vet ./...
step golangci-lint lint
for m in "${modules[@]}"; do step "go test -race $m" tests "$m"; done
step "fuzzing, 10 s each" ./scripts/fuzz.sh
step demo make --no-print-directory demo
step conformance ./conformance/run.sh
tally 0
