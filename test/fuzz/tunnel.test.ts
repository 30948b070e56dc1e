// Hostile bytes at every layer of the tunnel: WebSocket frames, yamux frames, prefaces, messages, datagrams. Whatever comes, a session
// either goes on or ends with a protocol error; it never throws, never holds more than its windows, and leaves nothing behind.
// POSTERN_FUZZ_SEED repeats one run, POSTERN_FUZZ_SECONDS makes it longer.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { buildBudget } from '#tunnel/budget.ts';
import { acceptStream } from '#tunnel/open.ts';
import { StreamFlow } from '#tunnel/stream-flow.ts';
import { buildMessageParser, encodeMessage } from '#wire/message.ts';
import { encodePreface } from '#wire/preface.ts';
import { encodeFrame } from '#wire/websocket.ts';
import { writeYamuxHead, yamuxHeadBytes } from '#wire/yamux.ts';
import { buildEnd, testClock, until } from '../sim/ends.ts';
import { buildLine, seeded } from '../sim/line.ts';


const firstSeed = Number(process.env['POSTERN_FUZZ_SEED'] ?? Date.now() % 1_000_000);
const seconds = Number(process.env['POSTERN_FUZZ_SECONDS'] ?? 2);

type Draw = () => number;
const below = (random: Draw, end: number) => Math.floor(random() * end);
const pick = <Item>(random: Draw, items: readonly Item[]): Item => items[below(random, items.length)]!;

/** A yamux frame that is mostly right. */
function yamuxFrame(random: Draw): Buffer {
  const body = random() < 0.6 ? Buffer.alloc(below(random, 400), below(random, 256)) : encodePreface({ kind: pick(random, ['tcp', 'udp', 'service']), target: pick(random, ['192.0.2.1:80', 'control', 'x']) });
  const type = random() < 0.7 ? 0 : below(random, 4);
  const length = type === 0 ? (random() < 0.97 ? body.length : below(random, 0xffff_ffff)) : pick(random, [0, 1, 70_000, 0xffff_ffff]);
  const head = Buffer.alloc(yamuxHeadBytes);
  writeYamuxHead(head, 0, type, random() < 0.9 ? pick(random, [0, 1, 2, 4, 8, 1, 1]) : below(random, 65_536), random() < 0.9 ? 1 + 2 * below(random, 40) : below(random, 0xffff_ffff), length);
  return type === 0 ? Buffer.concat([head, body]) : head;
}

function stream(random: Draw): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i < 30; i++) {
    const opcode = random() < 0.93 ? 2 : below(random, 16);
    const frames = Array.from({ length: 1 + below(random, 6) }, () => yamuxFrame(random));
    parts.push(encodeFrame(opcode, opcode < 8 ? Buffer.concat(frames) : Buffer.alloc(below(random, 126)), random() < 0.98 ? below(random, 0xffff_ffff) : undefined));
  }
  const bytes = Buffer.concat(parts);
  for (let i = below(random, 4); i > 0; i--) bytes[below(random, bytes.length)] = below(random, 256);
  return bytes;
}

async function attack(seed: number): Promise<void> {
  const random = seeded(seed);
  const [near, far] = buildLine({ delayMs: 0, pieceBytesMax: pick(random, [1 + below(random, 20), 1_000, 100_000]), underWayBytesMax: 1_000_000, random });
  const budget = buildBudget(64 * 1024 * 1024, () => {});
  const session = buildEnd('server', far, {
    budget,
    onStream: (opened) =>
      void acceptStream(opened, { clock: testClock, limits }).then(
        (offered) => {
          if (random() < 0.5) offered.refuse({ code: 5, text: 'no' });
          else {
            offered.accept();
            if (offered.preface.kind === 'udp') {
              const flow = new StreamFlow(opened, { clock: testClock, limits, budget });
              flow.onDatagram((datagram) => void flow.send(datagram));
            } else if (random() < 0.5) opened.pipe(opened);
          }
        },
        (thrown: unknown) => assert.ok(isFault(thrown), String(thrown)),
      ),
  });
  near.on('data', () => {});
  near.on('error', () => {});
  near.write(stream(random));
  await Promise.race([session.closed, new Promise((resolve) => setTimeout(resolve, 5))]);
  assert.ok(budget.heldBytes <= session.streams * 262_144 + 512 * 1024, `${budget.heldBytes} bytes held`);
  session.close('done');
  await session.closed;
  near.destroy();
  await until(() => budget.heldBytes === 0, 'nothing held');
}

test(`sessions, POSTERN_FUZZ_SEED=${firstSeed}`, async () => {
  const end = performance.now() + seconds * 1000;
  let seed = firstSeed;
  do {
    try {
      await attack(seed);
    } catch (error) {
      throw new Error(`POSTERN_FUZZ_SEED=${seed}`, { cause: error });
    }
    seed += 1;
  } while (performance.now() < end && process.env['POSTERN_FUZZ_SEED'] === undefined);
});

test('messages: any cut and any damage is a message or a Fault', () => {
  const random = seeded(firstSeed);
  for (let round = 0; round < 3_000; round++) {
    const bytes = Buffer.concat([encodeMessage({ id: round, do: 'hello' }, 65_536), encodeMessage({ ok: {} }, 65_536)]);
    for (let i = below(random, 3); i > 0; i--) bytes[below(random, bytes.length)] = below(random, 256);
    const parser = buildMessageParser(65_536, (message) => assert.equal(typeof message, 'object'));
    try {
      for (let at = 0; at < bytes.length; ) {
        const next = at + 1 + below(random, 10);
        parser.push(bytes.subarray(at, next));
        at = next;
      }
    } catch (error) {
      assert.ok(isFault(error, 'protocol'), String(error));
    }
  }
});
