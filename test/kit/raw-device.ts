// A device that follows docs/wire/device.md by hand, over node:http alone: none of our agent's code is in it, so that page and gateway are held against each
// other. Its feed's bytes are made up beforehand; it brings them piece by piece.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { realRandom } from '#app/real.ts';
import { digestOf } from '#base/secret.ts';
import { sealingKeyFile, sealKey } from '#model/device-keys.ts';
import type { Device } from '#model/rows.ts';
import { parseLines } from '#wire/device.ts';
import { isAnswerSignedBy, sha256Hex, signRequest } from '#wire/device-sign.ts';
import type { TestGateway } from './gateway.ts';

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly values: ReadonlyMap<string, string>;
}

/** One request; a certificate is not looked at. Rejects when nobody answers. */
export function askRaw(url: string, options: { method?: string; headers?: Record<string, string>; body?: Buffer } = {}): Promise<RawAnswer> {
  return new Promise((done, failed) => {
    const ask = url.startsWith('https:') ? httpsRequest : httpRequest;
    const sent = ask(url, { method: options.method ?? 'GET', headers: options.headers ?? {}, agent: false, rejectUnauthorized: false, timeout: 10_000 }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('error', failed);
      answer.on('end', () => {
        const body = Buffer.concat(pieces).toString('utf8');
        done({ status: answer.statusCode!, headers: answer.headers, body, values: parseLines(body) });
      });
    });
    sent.on('error', failed);
    sent.end(options.body);
  });
}

/** Makes the gateway know a device by a key, as approving it would. */
export function knowDevice(gateway: Pick<TestGateway, 'tables' | 'dataDir'>, serial: string, key: string, name = serial): Device {
  const { tables } = gateway;
  const customer = tables.customerByKey('default')!;
  const site = Array.from(tables.sites.values())[0]!;
  const id = `device-${serial}`;
  const device: Device = { id, customerId: customer.id, siteId: site.id, agentId: null, serial, label: `device-${serial.toLowerCase()}`, name, host: '', ports: [], hostHeader: 'own', locked: false, createdAt: 0 };
  tables.devices.publish({ put: [device] });
  const sealed = sealKey(key, readFileSync(join(gateway.dataDir, sealingKeyFile)), id, realRandom);
  tables.deviceKeys.publish({ put: [{ id: `key-${serial}`, customerId: customer.id, deviceId: id, kind: 'key', digest: digestOf(key), sealed, state: 'current', createdAt: 0, usedAt: Date.now() }] });
  return device;
}

export interface RawDeviceOptions {
  readonly serial: string;
  readonly key: string;
  /** The programmed base. */
  readonly home: string;
  /** All that it will ever bring. */
  readonly bytes: Buffer;
  /** false: the key is shown. */
  readonly signs?: boolean;
}

/** What it has to remember over a power cut. */
export class RawDevice {
  readonly options: RawDeviceOptions;
  epoch = randomBytes(8).toString('hex');
  /** Acknowledged up to here. */
  next = 0;
  base: string;
  /** Where the bytes before `next` were brought last; null: nowhere yet. */
  holder: string | null = null;
  start: { at: number; from: string } | null = null;
  hops = 0;
  failed: string | null = null;
  readonly seen: { base: string; status: number; next: string | undefined }[] = [];

  constructor(options: RawDeviceOptions) {
    this.options = options;
    this.base = options.home;
  }

  get done(): boolean {
    return this.next >= this.options.bytes.length;
  }

  headers(method: string, target: string, body: Buffer): Record<string, string> {
    const { key, signs = true } = this.options;
    const nonce = randomBytes(12).toString('hex');
    const said: Record<string, string> = {
      ...(this.start === null || !target.includes('/push/') ? {} : { 'x-postern-start': `${this.start.at};from=${this.start.from}` }),
      ...(this.failed === null || this.base !== this.options.home ? {} : { 'x-postern-failed': this.failed }),
    };
    const fields = Object.keys(said).sort().map((name) => `\n${name}:${said[name]}`).join('');
    return {
      ...(signs ? { 'x-postern-sign': signRequest(key, { method, target, unix: 0, nonce, bodySha256: sha256Hex(body), fields }) } : { 'x-postern-key': key }),
      'content-digest': `sha-256=:${createHash('sha256').update(body).digest('base64')}:`,
      ...said,
      ...(this.hops === 0 ? {} : { 'x-postern-hops': String(this.hops) }),
    };
  }

  /** Goes to another base, as it may at any time; what is acknowledged stays where it was brought. */
  goTo(base: string): void {
    this.base = base;
    if (this.holder !== null && this.holder !== base) this.start = { at: this.next, from: this.holder };
  }

  /** One request, and the page's rule for its answer. */
  async push(size: number): Promise<RawAnswer | null> {
    const { serial, key, bytes, home, signs = true } = this.options;
    const body = bytes.subarray(this.next, this.next + size);
    const url = new URL(`${this.base}/push/${serial}/cdr/${this.epoch}?o=${this.next}`);
    const headers = this.headers('POST', url.pathname + url.search, body);
    let answer: RawAnswer;
    try {
      answer = await askRaw(url.href, { method: 'POST', headers: { ...headers, 'content-length': String(body.length) }, body });
    } catch {
      // Fallback to the programmed address, and the truth about why.
      if (this.base !== home) this.failed = this.base;
      this.hops = 0;
      this.goTo(home);
      return null;
    }
    const next = answer.values.get('next');
    this.seen.push({ base: this.base, status: answer.status, next });
    if (signs && answer.status !== 401) {
      const nonce = headers['x-postern-sign']!.split(',')[2]!;
      const location = answer.headers.location ?? '';
      assert.ok(isAnswerSignedBy(key, { nonce, status: answer.status, location, bodySha256: sha256Hex(answer.body) }, String(answer.headers['x-postern-answer'])), `the answer ${answer.status} is signed`);
    }
    if (next !== undefined) this.next = Number(next);
    if (answer.status === 200) {
      this.hops = 0;
      this.holder = this.base;
    } else if (answer.status === 307 || answer.status === 308) {
      const to = answer.values.get('base')!;
      assert.equal(answer.headers.location, `${to}${url.href.slice(this.base.length)}`, 'the same path and query under the other base');
      this.hops += 1;
      // What the seal covers is here.
      this.start = { at: this.next, from: this.holder ?? this.base };
      this.base = to;
    } else if (answer.status === 410) {
      const to = answer.values.get('base');
      if (to !== undefined) this.goTo(to);
      else assert.fail(`sealed, and nowhere to go: ${answer.body}`);
    } else if (answer.status === 409) assert.notEqual(answer.values.get('error'), 'conflict');
    return answer;
  }
}

export interface StoredRange {
  readonly from: number;
  readonly bytes: Buffer;
}

/** What a gateway has of an epoch, as its database says. */
export function storedRanges(gateway: { readonly dataDir: string }, serial: string, epoch: string): { ranges: StoredRange[]; gaps: { from: number; to: number; reason: string }[]; sealedTo: string | null } {
  using database = new DatabaseSync(join(gateway.dataDir, 'postern.db'), { readOnly: true });
  const found = database.prepare('select e.number as number, e.sealed_to as sealedTo from feed_epoch e join feed f on f.id = e.feed_id where f.serial = ? and e.epoch = ?').get(serial, epoch) as { number: number; sealedTo: string | null } | undefined;
  if (found === undefined) return { ranges: [], gaps: [], sealedTo: null };
  const chunks = database.prepare('select off, body from chunk where epoch = ? order by off').all(found.number) as { off: number; body: Uint8Array }[];
  const gaps = database.prepare('select from_off as "from", to_off as "to", reason from feed_gap where epoch = ? order by from_off').all(found.number) as { from: number; to: number; reason: string }[];
  return { ranges: chunks.map(({ off, body }) => ({ from: off, bytes: Buffer.from(body) })), gaps: gaps.map((each) => ({ ...each })), sealedTo: found.sealedTo };
}

/** All gateways together have each byte exactly once, and it is the right one. */
export function assertOnce(gateways: readonly { readonly dataDir: string }[], device: RawDevice): void {
  const { serial, bytes } = device.options;
  const all = gateways.flatMap((gateway, at) => storedRanges(gateway, serial, device.epoch).ranges.map((range) => ({ ...range, at }))).sort((a, b) => a.from - b.from);
  let reached = 0;
  for (const { from, bytes: stored, at } of all) {
    assert.equal(from, reached, from < reached ? `bytes ${from} to ${reached} are stored twice, the second time at gateway ${at}` : `bytes ${reached} to ${from} are nowhere`);
    assert.ok(stored.equals(bytes.subarray(from, from + stored.length)), `the bytes from ${from} on are others`);
    reached += stored.length;
  }
  assert.equal(reached, bytes.length, 'everything arrived');
}
