// A scan server as many are: it knows a device by the address of its connection, and by nothing else. It is for trying out how Postern tells it.
// node examples/scan-server.mjs [PORT [CALL-BACK-PORT]], on Node 20 or newer, without packages. It listens on this machine alone.
import { createServer, get } from 'node:http';

const port = Number(process.argv[2] ?? 8090);
const callBackPort = Number(process.argv[3] ?? 8091);

/** What each address did so far. */
const devices = new Map();

/** At the address that it saw, as programs do that ask a device for its settings by SOAP or SNMP. */
function callBack(from, response) {
  const host = from.includes(':') ? `[${from}]` : from;
  const call = get(`http://${host}:${callBackPort}/`, { timeout: 10_000 }, (answer) => {
    answer.resume();
    response.end(`called ${from} back at port ${callBackPort}: it answered ${answer.statusCode}\n`);
  });
  call.on('timeout', () => call.destroy(new Error('it took too long')));
  call.on('error', (error) => response.end(`called ${from} back at port ${callBackPort}: ${error.message}\n`));
}

const server = createServer((request, response) => {
  const from = request.socket.remoteAddress;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  // For `postern prove`.
  response.setHeader('X-Postern-Seen', from);
  if (request.url === '/.postern-prove' || request.url.startsWith('/.postern-prove?')) return void response.end();
  if (request.url === '/call-back') return callBack(from, response);
  const opened = (devices.get(from) ?? 0) + 1;
  if (devices.size < 10_000) devices.set(from, opened);
  response.end(`you are ${from}, opened ${opened} times, one of ${devices.size} devices\n`);
});

server.on('error', (error) => {
  process.stderr.write(`scan-server: ${error.message}\n`);
  process.exitCode = 1;
});
server.listen(port, '127.0.0.1', () => process.stdout.write(`scan server on http://127.0.0.1:${server.address().port}/\n`));
