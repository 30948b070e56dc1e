// Devices that push, on the load's core: each takes `next` from its answer and goes on. Prints one JSON line with what came of it.
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';

interface Order {
  readonly port: number;
  readonly serials: readonly string[];
  /** Connections at a time. */
  readonly connections: number;
  /** Batches of each device; 0: until the time is over. */
  readonly batches: number;
  readonly seconds: number;
  readonly bytes: number;
  readonly checkIn: boolean;
}

const order = JSON.parse(process.argv[2]!) as Order;
const line = `${'x'.repeat(149)}\n`;
const body = line.repeat(Math.max(1, Math.round(order.bytes / line.length)));
const waits: number[] = [];
let batches = 0;
let refused = 0;
let delivered = 0;
const startedAt = performance.now();
const endsAt = startedAt + order.seconds * 1_000;
const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));

async function deliver(serials: readonly string[]): Promise<void> {
  const socket = connect({ port: order.port, host: '127.0.0.1' });
  let text = '';
  let wake: (() => void) | null = null;
  socket.setNoDelay(true).on('data', (piece) => {
    text += piece.toString('latin1');
    wake?.();
  });
  const ask = async (head: string, content: string): Promise<string> => {
    const from = performance.now();
    text = '';
    socket.write(`${head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${content.length}\r\n\r\n${content}`);
    for (;;) {
      const end = text.indexOf('\r\n\r\n');
      const length = end < 0 ? null : /content-length: (\d+)/i.exec(text);
      if (length && text.length >= end + 4 + Number(length[1])) break;
      await new Promise<void>((done) => (wake = done));
    }
    waits.push(performance.now() - from);
    return text;
  };
  for (const serial of serials) {
    const path = `/v1/default/push/${serial}/cdr/${randomBytes(8).toString('hex')}`;
    let next = 0;
    const repeated = async (head: () => string, content: string): Promise<string> => {
      for (;;) {
        const said = await ask(head(), content);
        if (said.startsWith('HTTP/1.1 200')) return said;
        refused += 1;
        await sleep(Math.min(2_000, 1_000 * Number(/retry=(\d+)/.exec(said)?.[1] ?? 1)) * (0.5 + Math.random()));
      }
    };
    if (order.checkIn) await repeated(() => `POST /v1/default/check-in/${serial}`, 'why=boot\nfw=2.95\nup=12\n');
    for (let i = 0; order.batches === 0 ? performance.now() < endsAt : i < order.batches; i++) {
      next = Number(/\nnext=(\d+)/.exec(await repeated(() => `POST ${path}?o=${next}`, body))![1]);
      batches += 1;
    }
    delivered += next;
  }
  socket.end();
}

const lanes = Array.from({ length: order.connections }, (_, lane) => order.serials.filter((_, i) => i % order.connections === lane));
await Promise.all(lanes.filter((lane) => lane.length > 0).map(deliver));
waits.sort((a, b) => a - b);
const at = (share: number) => waits[Math.min(waits.length - 1, Math.floor(waits.length * share))] ?? 0;
process.stdout.write(`${JSON.stringify({ batches, delivered, bytes: body.length, refused, seconds: (performance.now() - startedAt) / 1_000, medianMs: at(0.5), p99Ms: at(0.99), worstMs: at(1) })}\n`);
process.exit(0);
