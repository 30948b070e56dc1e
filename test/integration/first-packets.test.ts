// Every recorded first packet at every kind of listener, through a whole gateway: where it leads, what the journal says, and what is counted. Then
// the same bytes cut, delayed, lengthened and broken off.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openTlsWire, openWire, readHexCorpus } from '../kit/front.ts';
import { finishesCleanly, portOf, startGateway, startTcp, until, type TestGateway } from '../kit/gateway.ts';
import { readSipCorpus } from '../kit/sip-corpus.ts';

type Kind = 'tls' | 'ldap' | 'sip' | 'h323' | 'rdp' | 'ssh';

interface Sample {
  readonly title: string;
  readonly bytes: Buffer;
  /** What the corpus says that it is. */
  readonly kind: Kind | 'unknown';
  readonly malformed: boolean;
}

const hexSamples = (['ldap', 'h323', 'rdp', 'ssh', 'tls'] as const).flatMap((kind) =>
  readHexCorpus(kind).map((each): Sample => ({ title: `${kind}: ${each.title}`, bytes: each.bytes, kind: each.expected === null ? 'unknown' : kind, malformed: false })),
);
const sipSamples = readSipCorpus().flatMap(({ title, bytes, expected }): Sample[] => (expected.no ? [] : [{ title: `sip: ${title}`, bytes, kind: 'sip', malformed: expected.malformed !== undefined }]));
const strange: Sample[] = ['00', 'ff'.repeat(64), '80'.repeat(20), '0300000702f08032', '302902010004067075626c6963', '0d0a0d0a000d0a515549540a'].map((hex) => ({ title: `unknown: ${hex.slice(0, 16)}`, bytes: Buffer.from(hex, 'hex'), kind: 'unknown', malformed: false }));
const samples = [...hexSamples, ...sipSamples];
/** Answered by the gateway, which then waits for TLS. */
const isStartTls = (sample: Sample) => sample.title.includes('-ZZ');

const kinds = ['tls', 'ldap', 'sip', 'h323', 'rdp', 'ssh'] as const;
const plainOf = (protocol: string) => `plain-${protocol}`;
let gateway: TestGateway;
const closers: (() => Promise<void>)[] = [];

before(async () => {
  // Reads, and ends when the other side does.
  const sink = await startTcp((socket) => void socket.resume().on('end', () => socket.end()));
  closers.push(() => sink[Symbol.asyncDispose]());
  const target = { kind: 'tcp', host: '127.0.0.1', port: sink.port };
  const listeners: readonly { readonly name: string; readonly tls: boolean; readonly protocols: readonly string[]; readonly [more: string]: unknown }[] = [
    ...[...kinds, 'tcp'].map((protocol) => ({ name: plainOf(protocol), tls: false, protocols: [protocol] })),
    { name: 'mixed', tls: false, protocols: ['http', ...kinds], sniffTimeoutMs: 1_000 },
    { name: 'inside', tls: true, protocols: ['http', 'ldap', 'sip', 'h323', 'rdp', 'ssh'] },
    { name: 'inside-sip', tls: true, protocols: ['sip'] },
    { name: 'header', tls: false, protocols: [...kinds], proxyProtocolFrom: ['127.0.0.0/8'] },
  ];
  const takers = (protocol: string) => listeners.filter((each) => each.protocols.includes(protocol)).map((each) => each.name);
  gateway = await startGateway({ config: { listeners }, routes: [...kinds, 'tcp'].map((protocol) => ({ name: `any-${protocol}`, protocol, listeners: takers(protocol), target })) });
  closers.push(() => gateway.close());
});

after(async () => {
  for (const close of closers.reverse()) await close();
});

// --- one probe: its own address, so that its lines of the journal are found

interface Line {
  readonly event: string;
  readonly why: string;
  readonly route: string;
}

let probes = 0;
const nextAddress = () => {
  probes += 1;
  return `127.1.${probes >> 8}.${probes & 255}`;
};

interface Probed {
  readonly from: string;
  readonly answer: Buffer;
}

async function probe(listener: string, pieces: readonly Buffer[], ends = true): Promise<Probed> {
  const from = nextAddress();
  const client = await openWire(portOf(gateway, listener), { from, allowHalfOpen: true });
  for (const [index, piece] of pieces.entries()) {
    if (index > 0) await new Promise((next) => setTimeout(next, 3));
    if (!client.socket.destroyed) client.socket.write(piece);
  }
  if (ends) client.socket.end();
  await client.gone();
  return { from, answer: client.bytes };
}

/** Some at a time: what is asked of all of them together would only be their queue. */
async function inTurns<Item, Result>(items: readonly Item[], ask: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const work = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await ask(items[index]!);
    }
  };
  await Promise.all(Array.from({ length: 40 }, work));
  return results;
}

/** The whole journal, oldest line first, by address. */
async function linesByAddress(): Promise<Map<string, Line[]>> {
  await finishesCleanly(gateway);
  const { token } = await gateway.owner();
  const found = new Map<string, Line[]>();
  let after = '';
  for (;;) {
    const { json } = await gateway.api('GET', `/journal?limit=200${after}`, { token });
    for (const { event, fields } of json['items'] as { event: string; fields: Record<string, unknown> }[]) {
      const from = String(fields['from']);
      const lines = found.get(from) ?? [];
      lines.unshift({ event, why: String(fields['why']), route: String(fields['route']) });
      found.set(from, lines);
    }
    if (typeof json['next'] !== 'string') return found;
    after = `&cursor=${encodeURIComponent(json['next'])}`;
  }
}

/** What must come of it where `takes` is taken: a line of the journal. */
function expectedOf(sample: Sample, takes: readonly string[]): { event: string; why?: RegExp; route?: string } {
  if (sample.malformed) return { event: 'conn.refused', why: /^malformed sip: / };
  if (sample.kind === 'unknown') return takes.includes('tcp') ? { event: 'relay.ended', route: 'any-tcp' } : { event: 'conn.refused', why: /of no protocol that is known here/ };
  if (takes.includes(sample.kind)) return { event: 'relay.ended', route: `any-${sample.kind}` };
  return { event: 'conn.refused', why: sample.kind === 'tls' ? /^TLS on a plain port$/ : new RegExp(`^${sample.kind} is not what this listener takes$`) };
}

function holds(lines: readonly Line[], expected: ReturnType<typeof expectedOf>): boolean {
  return lines.some((line) => line.event === expected.event && (expected.why === undefined || expected.why.test(line.why)) && (expected.route === undefined || line.route === expected.route));
}

/** All judged as they must be; the first ten that are not are told. */
async function judge(asked: readonly { readonly what: string; readonly from: string; readonly expected: ReturnType<typeof expectedOf> }[]): Promise<void> {
  const lines = await linesByAddress();
  const wrong = asked.filter(({ from, expected }) => !holds(lines.get(from) ?? [], expected));
  assert.deepEqual(wrong.slice(0, 10).map(({ what, from, expected }) => ({ what, expected, said: lines.get(from) ?? [] })), []);
}

test('every sample at every plain listener', { timeout: 120_000 }, async () => {
  const plan = [...kinds, 'tcp'].flatMap((protocol) => [...samples, ...strange].filter((sample) => !(isStartTls(sample) && protocol === 'ldap')).map((sample) => ({ sample, takes: [protocol], listener: plainOf(protocol) })));
  const refusedBefore = gateway.live.connCounts().refused;
  const asked = await inTurns(plan, async ({ sample, takes, listener }) => {
    const { from, answer } = await probe(listener, [sample.bytes]);
    const expected = expectedOf(sample, takes);
    if (sample.kind === 'tls' && expected.event === 'conn.refused') assert.equal(answer.toString('hex'), '15030100020228', `${sample.title}: an alert`);
    return { what: `${sample.title} at ${listener}`, from, expected };
  });
  await judge(asked);
  const refused = asked.filter(({ expected }) => expected.event === 'conn.refused').length;
  // SIP, H.323 and LDAP behind their first message refuse more, and are counted for it.
  assert.ok(gateway.live.connCounts().refused - refusedBefore >= refused, 'each refusal is counted');
});

test('each is refused before TLS where a listener speaks it, or without a PROXY header where one is required', { timeout: 60_000 }, async () => {
  const plain = samples.filter((sample) => sample.kind !== 'tls');
  const asked = await inTurns(plain.flatMap((sample) => ['inside', 'header'].map((listener) => ({ sample, listener }))), async ({ sample, listener }) => {
    const { from } = await probe(listener, [sample.bytes]);
    return { what: `${sample.title} at ${listener}`, from, expected: { event: 'conn.refused', why: listener === 'inside' ? /^not TLS$/ : /^a listed sender did not begin with a PROXY header$/ } };
  });
  await judge(asked);
});

test('a ClientHello gets a handshake, or an alert where it is too old', { timeout: 60_000 }, async () => {
  const asked: { what: string; from: string; expected: { event: string } }[] = [];
  for (const { title, bytes, expected } of readHexCorpus('tls')) {
    const from = nextAddress();
    const client = await openWire(portOf(gateway, 'inside'), { from });
    client.socket.write(bytes);
    await until(`an answer to ${title}`, () => client.bytes.length > 0);
    // Level intermediate: TLS 1.2 and forward secrecy.
    const isTooOld = Math.max(...(expected!['versions'] as number[])) < 0x0303 || title.endsWith('without ECDHE');
    assert.equal(client.bytes[0], isTooOld ? 0x15 : 0x16, title);
    // Seen in the hello, or by the handshake itself.
    if (isTooOld) asked.push({ what: title, from, expected: { event: title.includes('fell back') ? 'tls.failed' : 'tls.refused' } });
    client.socket.resetAndDestroy();
  }
  assert.ok(asked.length > 0);
  await judge(asked);
});

test('HTTP alone: whatever else comes is no request', { timeout: 60_000 }, async () => {
  const asked = await inTurns(samples.filter((sample) => sample.kind === 'sip' || sample.kind === 'tls'), async (sample) => {
    const from = nextAddress();
    const client = await openWire(gateway.ports.http, { from, allowHalfOpen: true });
    client.socket.write(sample.bytes);
    client.socket.end();
    await client.gone();
    if (sample.kind !== 'tls') assert.match(client.text, /^(HTTP\/1\.1 (400|505) |$)/, sample.title);
    return { what: sample.title, from, expected: { event: sample.kind === 'tls' ? 'conn.refused' : 'head.refused' } };
  });
  await judge(asked);
});

test('inside TLS: the same kinds lead to the same places', { timeout: 120_000 }, async () => {
  const plan = [...samples, ...strange].filter((sample) => sample.kind !== 'tls' && !isStartTls(sample)).flatMap((sample) => [{ sample, listener: 'inside', takes: ['ldap', 'sip', 'h323', 'rdp', 'ssh'] }, { sample, listener: 'inside-sip', takes: ['sip'] }]);
  const asked = await inTurns(plan, async ({ sample, listener, takes }) => {
    const from = nextAddress();
    const client = await openTlsWire(portOf(gateway, listener), { localAddress: from, rejectUnauthorized: false } as Parameters<typeof openTlsWire>[1]);
    client.socket.write(sample.bytes);
    client.socket.end();
    await client.gone();
    return { what: `${sample.title} in TLS at ${listener}`, from, expected: expectedOf(sample, takes) };
  });
  await judge(asked);
});

test('cut in two, byte by byte, and with more behind it: the same verdict', { timeout: 120_000 }, async () => {
  const all = samples.filter((sample) => !isStartTls(sample));
  const cuts = all.flatMap((sample) => [...new Set([1, 2, 5, 6, sample.bytes.length >> 2, sample.bytes.length >> 1, sample.bytes.length - 1])].filter((at) => at > 0 && at < sample.bytes.length).map((at) => ({ sample, pieces: [sample.bytes.subarray(0, at), sample.bytes.subarray(at)], how: `cut at ${at}` })));
  const behind = all.flatMap((sample) => [Buffer.alloc(64, 0xff), Buffer.alloc(300), Buffer.from('\r\n\r\nGET / HTTP/1.1\r\n\r\n')].map((garbage, index) => ({ sample, pieces: [Buffer.concat([sample.bytes, garbage])], how: `garbage ${index} behind` })));
  const dribbled = (['ldap', 'h323', 'rdp', 'ssh', 'sip'] as const).map((kind) => all.find((sample) => sample.kind === kind)!).map((sample) => ({ sample, pieces: Array.from(sample.bytes.subarray(0, 150), (byte) => Buffer.from([byte])), how: 'byte by byte' }));
  const asked = await inTurns([...cuts, ...behind, ...dribbled.filter(({ sample }) => sample.bytes.length <= 150)], async ({ sample, pieces, how }) => {
    const { from } = await probe('mixed', pieces);
    return { what: `${sample.title}, ${how}`, from, expected: expectedOf(sample, kinds) };
  });
  await judge(asked);
});

test('bent samples: every connection ends, nothing stays, and a straight one is served', { timeout: 120_000 }, async () => {
  let state = 20_261;
  const next = (below: number) => (state = (state * 48_271) % 0x7fff_ffff) % below;
  const bent = samples.flatMap(({ bytes }) => Array.from({ length: 8 }, () => {
    const copy = Buffer.from(bytes);
    for (let flips = 1 + next(3); flips > 0; flips--) {
      const at = next(Math.min(copy.length, next(2) === 0 ? 24 : copy.length));
      copy.writeUInt8(copy.readUInt8(at) ^ (1 << next(8)), at);
    }
    return copy;
  }));
  const listeners = ['mixed', plainOf('tcp'), plainOf('sip'), plainOf('ldap'), plainOf('h323')];
  const said = await inTurns(bent, async (bytes) => (await probe(listeners[bytes.length % listeners.length]!, [bytes])).from);
  const lines = await linesByAddress();
  const verdicts = said.flatMap((from) => lines.get(from) ?? []);
  assert.ok(verdicts.filter((line) => line.event === 'conn.refused').length > said.length / 4);
  assert.ok(verdicts.some((line) => line.event === 'relay.ended'));
  const straight = samples.find((sample) => sample.kind === 'ldap')!;
  const { from } = await probe('mixed', [straight.bytes]);
  await judge([{ what: 'a straight one', from, expected: expectedOf(straight, kinds) }]);
});

test('a beginning and then silence, and silence alone: late', { timeout: 60_000 }, async () => {
  const late = /^the first bytes did not come in time$/;
  const heads = [...new Set(samples.filter((sample) => sample.kind !== 'unknown').map((sample) => sample.bytes.toString('latin1', 0, sample.kind === 'sip' ? 9 : 3)))].filter((head) => head.trim() !== '');
  const asked = await inTurns([...heads, ''], async (head) => {
    const { from } = await probe('mixed', head === '' ? [] : [Buffer.from(head, 'latin1')], false);
    return { what: `${JSON.stringify(head)} and silence`, from, expected: { event: 'conn.refused', why: head === '' ? /^nothing was sent$/ : late } };
  });
  // A byte now and then is no progress.
  const from = nextAddress();
  const slow = await openWire(portOf(gateway, 'mixed'), { from });
  const timer = setInterval(() => slow.socket.write('A'), 150);
  await slow.gone();
  clearInterval(timer);
  await judge([...asked, { what: 'a byte now and then', from, expected: { event: 'conn.refused', why: late } }]);
});

test('more than 16 KiB that tell nothing', async () => {
  const from = nextAddress();
  const client = await openWire(portOf(gateway, 'mixed'), { from });
  // A SIP request whose head does not end.
  client.socket.write(`REGISTER sip:a.example.test SIP/2.0\r\n${'X-Filler: x\r\n'.repeat(90)}X-Long: ${'x'.repeat(20_000)}`);
  await client.gone();
  await judge([{ what: 'an endless head', from, expected: { event: 'conn.refused', why: /16384 bytes tell nothing|malformed sip/ } }]);
});

test('who goes before anything is clear leads nowhere', async () => {
  const accepted = gateway.live.connCounts().accepted;
  for (const sample of samples.filter((each) => each.kind !== 'unknown').slice(0, 40)) {
    const from = nextAddress();
    const client = await openWire(portOf(gateway, 'mixed'), { from, allowHalfOpen: true });
    client.socket.write(sample.bytes.subarray(0, 3));
    client.socket.end();
    await client.gone();
    assert.equal(client.text, '');
  }
  assert.equal(gateway.live.connCounts().accepted, accepted + 40);
  await finishesCleanly(gateway);
  await until('no refusal for that', async () => !(await linesByAddress()).has(`127.1.${probes >> 8}.${probes & 255}`));
});
