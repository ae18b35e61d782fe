// A client of the TypeScript SDK: node client.mjs URL TOKEN. It prints what
// happened as one JSON line.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, token] = process.argv.slice(2);
const client = new Client({ name: 'ts', version: '1' });
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});
const seen = {};
try {
  await client.connect(transport);
  seen.tools = (await client.listTools()).tools.map((t) => t.name).sort();
  seen.echo = (await client.callTool({ name: 'echo', arguments: { text: 'hi' } })).content[0].text;
  seen.invalid = (await client.callTool({ name: 'echo', arguments: { text: 7 } })).isError;
  seen.secret = await client.callTool({ name: 'secret', arguments: {} }).then(() => 'called', (e) => String(e.code));
  await client.close();
} catch (e) {
  seen.error = String(e);
}
console.log(JSON.stringify(seen));
process.exit(0);
