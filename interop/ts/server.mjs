// An MCP server of the TypeScript SDK on a free port of loopback, which it
// prints. `stateless`: version 2 of the SDK, protocol 2026-07-28. `sessions`:
// version 1 of the SDK, protocol 2025-11-25 with sessions.
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { McpServer as McpServer1 } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import * as z from 'zod';

// register adds the same tools to a server of either version.
function register(server, schema) {
  server.registerTool('echo', { description: 'echoes', inputSchema: schema({ text: z.string() }) }, async ({ text }) => ({
    content: [{ type: 'text', text }],
  }));
  server.registerTool('secret', { description: 'nobody may call it', inputSchema: schema({}) }, async () => ({
    content: [{ type: 'text', text: 'TOP SECRET' }],
  }));
  return server;
}

function stateless() {
  const handler = createMcpHandler(() =>
    register(new McpServer({ name: 'ts', version: '2' }), (shape) => z.object(shape)),
  );
  return toNodeHandler(handler);
}

function sessions() {
  const transports = new Map();
  return async (req, res) => {
    const id = req.headers['mcp-session-id'];
    let transport = transports.get(id);
    if (!transport) {
      transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        onsessioninitialized: (sid) => transports.set(sid, transport),
        onsessionclosed: (sid) => transports.delete(sid),
      });
      await register(new McpServer1({ name: 'ts', version: '1' }), (shape) => shape).connect(transport);
    }
    await transport.handleRequest(req, res);
  };
}

const handle = process.argv[2] === 'sessions' ? sessions() : stateless();
const http = createServer((req, res) => {
  Promise.resolve(handle(req, res)).catch((err) => {
    console.error(err);
    res.destroy();
  });
});
http.listen(0, '127.0.0.1', () => console.log(http.address().port));
process.stdin.on('end', () => process.exit(0)).resume(); // ends with its parent
