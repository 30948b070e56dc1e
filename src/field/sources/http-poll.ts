// A document that is asked for again and again, and taken when it is another than before. Which one was taken last is kept with its
// records, so that a restart neither takes a document twice nor leaves out the half of one.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { version } from '#base/about.ts';
import { sleep } from '#base/clock.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import { dialServer } from '../device-dial.ts';
import { openFramer } from '../framer.ts';
import type { HttpPollSettings } from '../source-settings.ts';
import { newTally } from './source.ts';
import type { Source, SourceDeps, Tally } from './source.ts';

const pollKey = 'poll';

interface Taken {
  readonly turn: number;
  /** Hex; empty before the first. */
  readonly sha256: string;
  readonly etag: string;
  readonly modified: string;
  /** All its records are in the buffer. */
  readonly isWhole: boolean;
}

interface Document {
  readonly bytes: Buffer;
  readonly etag: string;
  readonly modified: string;
}

function send(stream: Duplex, { url, headers }: HttpPollSettings, fields: Readonly<Record<string, string>>, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const { host, pathname, search } = new URL(url);
    const sent = request({
      createConnection: () => stream,
      path: `${pathname}${search}`,
      headers: { host, 'user-agent': `postern/${version}`, accept: '*/*', 'accept-encoding': 'identity', connection: 'close', ...fields, ...headers },
      signal,
    });
    sent.once('error', reject);
    sent.once('response', resolve);
    sent.end();
  });
}

async function readBody(answer: IncomingMessage, bytesMax: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of answer as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > bytesMax) throw new Fault('too-large', `the answer is longer than bytesMax, ${bytesMax} bytes`);
    pieces.push(piece);
  }
  if (!answer.complete) throw new Fault('closed', 'the answer broke off');
  return Buffer.concat(pieces);
}

/** Null: it has not changed. Faults say what is wrong with server or answer. */
async function ask(settings: HttpPollSettings, last: Taken, signal: AbortSignal): Promise<Document | null> {
  const { url, bytesMax, credentialsFile, caFile } = settings;
  const { protocol, hostname, port } = new URL(url);
  const secure = protocol === 'https:';
  const ca = caFile === null ? null : await readFile(caFile, 'utf8');
  const credentials = credentialsFile === null ? null : (await readFile(credentialsFile, 'utf8')).split(/\r?\n/)[0]!;
  const host = hostname.replace(/^\[|\]$/g, '');
  const { stream } = await dialServer({ host, port: port === '' ? (secure ? 443 : 80) : Number(port), secure, pins: settings.pins, ca, certificate: null, proxy: null, signal });
  try {
    const answer = await send(stream, settings, {
      ...(credentials === null ? {} : { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` }),
      ...(last.isWhole && last.etag !== '' ? { 'if-none-match': last.etag } : {}),
      ...(last.isWhole && last.modified !== '' ? { 'if-modified-since': last.modified } : {}),
    }, signal);
    const status = answer.statusCode ?? 0;
    if (status === 304 || status === 204) return null;
    if (status >= 300 && status < 400) throw new Fault('protocol', `the server sends elsewhere (status ${status}): ${printable(answer.headers.location ?? '')}`, { remedy: 'Write the address that it leads to.' });
    if (status !== 200) throw new Fault(status === 401 || status === 403 ? 'unauthenticated' : 'protocol', `the server answered with status ${status}`);
    const coding = answer.headers['content-encoding'] ?? 'identity';
    if (coding !== 'identity') throw new Fault('unsupported', `the answer is encoded (${printable(coding)}) though that was not asked for`);
    return { bytes: await readBody(answer, bytesMax), etag: answer.headers.etag ?? '', modified: answer.headers['last-modified'] ?? '' };
  } finally {
    stream.destroy();
  }
}

function recordsOf(body: HttpPollSettings['body'], bytes: Buffer): readonly Buffer[] {
  const records: Buffer[] = [];
  const framer = openFramer(body === 'lines' ? { kind: 'lines', end: 'any', keepEmpty: false } : { kind: 'idle', idleMs: 0 }, (record) => records.push(record));
  framer.push(bytes);
  framer.cut();
  return records;
}

/** Fields of an answer are kept for the next question; absurdly long ones are not. */
const kept = (field: string) => (field.length <= 200 ? field : '');

async function take(settings: HttpPollSettings, found: Document, last: Taken, { intake }: SourceDeps, tally: Tally): Promise<Taken> {
  const sha256 = createHash('sha256').update(found.bytes).digest('hex');
  const isSame = sha256 === last.sha256;
  if (isSame && last.isWhole && settings.unchanged === 'skip') return { ...last, etag: found.etag, modified: found.modified };
  // The half of it that is there already is left out by the intake.
  const turn = isSame && !last.isWhole ? last.turn : last.turn + 1;
  const records = recordsOf(settings.body, found.bytes);
  const markOf = (at: number) => ({ key: pollKey, turn, at, more: { sha256, of: records.length, etag: kept(found.etag), modified: kept(found.modified) } });
  tally.bytes += found.bytes.length;
  for (const [index, record] of records.entries()) {
    tally.tookRecord();
    intake.record(record, markOf(index + 1));
    if (!(await intake.ready())) throw new Fault('closed', 'the source is being closed');
  }
  intake.markAll(markOf(records.length));
  return { turn, sha256, etag: found.etag, modified: found.modified, isWhole: true };
}

function takenBefore({ intake }: SourceDeps): Taken {
  const mark = intake.marks().get(pollKey);
  if (mark === undefined) return { turn: 0, sha256: '', etag: '', modified: '', isWhole: false };
  const text = (name: string) => String(mark.more[name] ?? '');
  return { turn: mark.turn, sha256: text('sha256'), etag: text('etag'), modified: text('modified'), isWhole: mark.from.at === mark.more['of'] };
}

export function openHttpPoll(settings: HttpPollSettings, deps: SourceDeps): Source {
  const { clock } = deps;
  const tally = newTally(deps);
  const end = new AbortController();
  let last = takenBefore(deps);
  const poll = async () => {
    const late = new AbortController();
    const timer = clock.after(settings.timeoutMs, () => late.abort());
    try {
      const found = await ask(settings, last, AbortSignal.any([end.signal, late.signal]));
      if (found !== null) last = await take(settings, found, last, deps, tally);
      tally.connected = 1;
      tally.worked();
    } catch (thrown) {
      tally.connected = 0;
      if (!end.signal.aborted) tally.failed(`${settings.url}: ${late.signal.aborted ? `no whole answer came within ${settings.timeoutMs / 1_000} s` : reasonOf(thrown)}`);
    } finally {
      timer.cancel();
    }
  };
  const done = (async () => {
    while (!end.signal.aborted) {
      await poll();
      await sleep(clock, Math.max(settings.everyMs, limits.feedReconnectFirstMs), end.signal);
    }
  })();
  return {
    status: () => tally.status(`http-poll ${settings.url}`),
    async close() {
      end.abort();
      deps.intake.release();
      await done;
    },
  };
}
