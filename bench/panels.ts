// Panels at addresses of their own, on the load's core: each connection from its own address, one request at a time, for as long as is said.
// Prints one JSON line a measurement; asked by lines of JSON on its input.
import { connect } from 'node:net';
import { createInterface } from 'node:readline';

interface Order {
  readonly port: number;
  readonly host: string;
  readonly path: string;
  /** 127.A.B.1 …: from there up, one for each connection. */
  readonly from: string;
  readonly connections: number;
  readonly seconds: number;
  readonly cookie?: string;
}

const BROWSER = [
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Accept-Language: en-GB,en;q=0.9,de;q=0.8',
  'Cache-Control: max-age=0',
  'Sec-Ch-Ua: "Chromium";v="130", "Not?A_Brand";v="99"',
  'Sec-Ch-Ua-Mobile: ?0',
  'Sec-Ch-Ua-Platform: "Linux"',
  'Sec-Fetch-Dest: document',
  'Sec-Fetch-Mode: navigate',
  'Sec-Fetch-Site: none',
];

/** The next address of 127/8, whatever it ends in but 0 and 255. */
function* addressesFrom(first: string): Generator<string> {
  const [a = 127, ...rest] = first.split('.').map(Number);
  let [b = 0, c = 0, d = 1] = rest;
  for (;;) {
    yield `${a}.${b}.${c}.${d}`;
    d += 1;
    if (d > 254) [c, d] = [c + 1, 1];
    if (c > 254) [b, c] = [b + 1, 0];
  }
}

const END = Buffer.from('\r\n\r\n');

/** Where the answer ends in these bytes; -1: not yet. */
function endOf(bytes: Buffer): number {
  const head = bytes.indexOf(END);
  if (head < 0) return -1;
  const text = bytes.toString('latin1', 0, head);
  const length = /\r\ncontent-length: (\d+)/i.exec(text);
  if (length) {
    const end = head + 4 + Number(length[1]);
    return bytes.length >= end ? end : -1;
  }
  if (!/\r\ntransfer-encoding: chunked/i.test(text)) return head + 4;
  const last = bytes.indexOf('\r\n0\r\n\r\n', head + 2, 'latin1');
  return last < 0 ? -1 : last + 7;
}

async function measure(order: Order): Promise<{ requests: number; errors: number; seconds: number; bytes: number }> {
  let requests = 0;
  let errors = 0;
  let bytesRead = 0;
  const startedAt = performance.now();
  const endsAt = startedAt + order.seconds * 1_000;
  const addresses = addressesFrom(order.from);
  const one = (localAddress: string) =>
    new Promise<void>((done) => {
      const socket = connect({ host: '127.0.0.1', port: order.port, localAddress, noDelay: true });
      let path = order.path;
      let rest: Buffer = Buffer.alloc(0);
      const send = () => socket.write(`GET ${path} HTTP/1.1\r\nHost: ${order.host}\r\n${BROWSER.join('\r\n')}\r\n${order.cookie === undefined ? '' : `Cookie: ${order.cookie}\r\n`}\r\n`);
      socket.on('connect', send);
      socket.on('data', (piece: Buffer) => {
        rest = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
        const end = endOf(rest);
        if (end < 0) return;
        const status = rest.toString('latin1', 9, 12);
        if (status === '302') path = /\r\nlocation: (\S+)/i.exec(rest.toString('latin1', 0, end))![1]!;
        else if (status !== '200') {
          errors += 1;
          if (errors === 1) process.stderr.write(`${rest.toString('latin1', 0, 400)}\n`);
        }
        bytesRead += end;
        requests += 1;
        rest = rest.subarray(end);
        if (performance.now() < endsAt && errors < 100) return void send();
        socket.destroy();
      });
      socket.on('error', () => {
        errors += 1;
      });
      socket.on('close', () => done());
    });
  await Promise.all(Array.from({ length: order.connections }, () => one(addresses.next().value as string)));
  return { requests, errors, seconds: (performance.now() - startedAt) / 1_000, bytes: bytesRead };
}

process.stdout.write('{"ready":true}\n');
for await (const line of createInterface({ input: process.stdin })) process.stdout.write(`${JSON.stringify(await measure(JSON.parse(line) as Order))}\n`);
