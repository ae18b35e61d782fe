// An MCP server of the TypeScript SDK on a free port of loopback, which it
// prints. `stateless`: protocol 2026-07-28. `sessions`: protocol 2025-11-25.
import { createServer } from 'node:http';
import { randomUUID } from 'node:crypto';
import { McpServer, createMcpHandler } from '@modelcontextprotocol/server';
import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import * as z from 'zod';

function make() {
  const server = new McpServer({ name: 'ts', version: '2' });
  server.registerTool('echo', { description: 'echoes', inputSchema: z.object({ text: z.string() }) }, async ({ text }) => ({
    content: [{ type: 'text', text }],
  }));
  server.registerTool('secret', { description: 'nobody may call it', inputSchema: z.object({}) }, async () => ({
    content: [{ type: 'text', text: 'TOP SECRET' }],
  }));
  return server;
}

function stateless() {
  return toNodeHandler(createMcpHandler(make));
}

function sessions() {
  const transports = new Map();
  return async (req, res) => {
    const id = req.headers['mcp-session-id'];
    let transport = transports.get(id);
    if (!transport) {
      transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: () => randomUUID(),
        onsessioninitialized: (sid) => transports.set(sid, transport),
        onsessionclosed: (sid) => transports.delete(sid),
      });
      await make().connect(transport);
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
