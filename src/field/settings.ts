// The device owner's feeds file, `feeds.json` in the agent's folder: where records come from, how they are cut, how much of them is kept,
// and where they go. The gateway can neither see nor change it. docs/operate/feeds.md has an example of each source.
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Fault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { compilePattern } from '#model/pattern.ts';
import type { Pattern } from '#model/pattern.ts';
import { readJsonSettings } from './read-settings.ts';
import type { Section } from './read-settings.ts';
import { pinForm, readFraming, readSource } from './source-settings.ts';
import type { Framing, SourceSettings } from './source-settings.ts';

export const feedsFileName = 'feeds.json';

export interface Destination {
  readonly name: string;
  /** `link`: the agent's own gateway, its service `push`; everything from `bases` on is empty then. */
  readonly kind: 'http' | 'link';
  readonly customer: string;
  readonly serial: string;
  /** Names of one server, tried in this order, each with its path and without a slash at the end: `https://gw.example.test/v1/default`. */
  readonly bases: readonly string[];
  /** How the device says who it is. `sign`: HMAC, over plain http too; `certificate`: the agent's, or none. */
  readonly identity: 'key' | 'sign' | 'certificate' | 'none';
  /** Absolute; its first line is the device's key. */
  readonly keyFile: string | null;
  /** `sha256//BASE64`, the list to begin with. */
  readonly pins: readonly string[];
  /** Absolute; PEM, trusted instead of the system's roots while there are no pins. */
  readonly caFile: string | null;
  readonly proxy: { /** `http://HOST:PORT` */ readonly url: string; /** Its first line is `NAME:PASSWORD`. */ readonly credentialsFile: string | null } | null;
}

export interface BufferSettings {
  readonly bytesMax: number;
  /** Null: until the bytes are too many. */
  readonly ageMaxMs: number | null;
  readonly segmentBytes: number;
  /** Delivered bytes that are kept for a server that lost them. */
  readonly keptTailBytes: number;
}

export interface SplitRule {
  readonly pattern: Pattern;
  /** The name of a feed without a source. */
  readonly feed: string;
}

export interface FeedSettings {
  readonly name: string;
  /** Null: it is filled by the split rules of other feeds. */
  readonly source: SourceSettings | null;
  readonly framing: Framing;
  /** `stamped`: records with their times. Else the bytes go as they come, and this is how the gateway reads them. */
  readonly format: string;
  /** A record in which one of them is found is delivered at once. */
  readonly urgent: readonly Pattern[];
  /** The first that is found in a record sends it to its feed instead. */
  readonly split: readonly SplitRule[];
  readonly buffer: BufferSettings;
  /** Names of destinations, at least one. */
  readonly destinations: readonly string[];
}

export interface FeedsSettings {
  readonly destinations: readonly Destination[];
  readonly feeds: readonly FeedSettings[];
}

const customerForm = /^(?=.{1,32}$)[a-z0-9]+(?:-[a-z0-9]+)*$/;
const feedForm = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const nameForm = /^[a-z0-9][a-z0-9_-]{0,31}$/;
const formatForm = /^(?:stamped|raw|lines|u16|u32|fixed:(?:[1-9]\d{0,4}))$/;
/** Sources of bytes without ends, which may go on as they come. */
const streams: ReadonlySet<string> = new Set(['tcp-listen', 'tcp-connect', 'serial', 'file'] satisfies SourceSettings['kind'][]);

interface Common {
  readonly serial: string | undefined;
  readonly customer: string;
  pathOf(text: string): string;
}

function readSerial(section: Section, fallback?: string): string {
  return section.text('serial', { means: 'the device\'s serial, 1 to 128 bytes', bytesMax: 128, ...(fallback === undefined ? {} : { fallback }) });
}

const readCustomer = (section: Section, fallback: string) => section.text('customer', { fallback, matches: customerForm, means: 'a customer\'s key: small letters, digits and single hyphens' });

/** A base as it is written, completed; null when it is none. */
function baseOf(text: string, customer: string): string | null {
  if (!/^https?:\/\//.test(text) || !URL.canParse(text)) return null;
  const url = new URL(text);
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') return null;
  const path = url.pathname.replace(/\/+$/, '');
  return `${url.origin}${path === '' ? `/v1/${customer}` : path}`;
}

function readProxy(section: Section | null, common: Common): Destination['proxy'] {
  if (section === null) return null;
  const url = section.text('url', { means: 'the proxy\'s address, such as http://192.0.2.8:3128' });
  if (url !== '' && !(url.startsWith('http://') && URL.canParse(url) && new URL(url).username === '')) section.problem('url', `"${url}" is not http://HOST:PORT; name and password stand in credentialsFile`);
  const file = section.text('credentialsFile', { fallback: '' });
  return { url, credentialsFile: file === '' ? null : common.pathOf(file) };
}

function readDestination(section: Section, common: Common): Destination {
  const name = section.text('name', { matches: nameForm, means: 'a name of small letters, digits, - and _' });
  const customer = readCustomer(section, common.customer);
  const serial = readSerial(section, common.serial);
  const kind = section.oneOf('kind', ['http', 'link'] as const, 'http');
  if (kind === 'link') return { name, kind, customer, serial, bases: [], identity: 'certificate', keyFile: null, pins: [], caFile: null, proxy: null };
  const bases = section.texts('base', { countMin: 1, countMax: limits.feedBasesMax, check: (text) => (baseOf(text, customer) === null ? `"${text}" is not http(s)://HOST[:PORT], alone or with /v1/CUSTOMER` : null) }).flatMap((text) => baseOf(text, customer) ?? []);
  const keyFile = section.text('keyFile', { fallback: '' });
  const caFile = section.text('caFile', { fallback: '' });
  const isPlain = bases.some((base) => base.startsWith('http:'));
  const identity = section.oneOf('identity', ['key', 'sign', 'certificate', 'none'] as const, keyFile === '' ? 'certificate' : isPlain ? 'sign' : 'key');
  const needsKey = identity === 'key' || identity === 'sign';
  if (needsKey !== (keyFile !== '')) section.problem('keyFile', needsKey ? `is missing: the file with the key for identity "${identity}"` : `is not used with identity "${identity}"`);
  if (identity === 'key' && isPlain) section.problem('identity', '"key" would be read by everybody on the way of a plain http base; take "sign"');
  return {
    name,
    kind,
    customer,
    serial,
    bases,
    identity,
    keyFile: keyFile === '' ? null : common.pathOf(keyFile),
    pins: section.texts('pins', { countMax: limits.feedPinsMax, check: (text) => (pinForm.test(text) ? null : 'is not sha256// and 44 characters of base64') }),
    caFile: caFile === '' ? null : common.pathOf(caFile),
    proxy: readProxy(section.section('proxy'), common),
  };
}

function patternOf(section: Section, name: string, text: string): Pattern | null {
  try {
    return compilePattern(text);
  } catch (thrown) {
    section.problem(name, reasonOf(thrown));
    return null;
  }
}

const mebibyte = 1024 * 1024;

function readBuffer(section: Section | null): BufferSettings {
  const days = section?.integer('ageDaysMax', 1, 3_650, 0) ?? 0;
  const bytesMax = (section?.integer('megabytesMax', 1, limits.feedBufferMegabytesMax, 256) ?? 256) * mebibyte;
  const segmentBytes = (section?.integer('segmentKilobytes', 64, 65_536, 1_024) ?? 1_024) * 1_024;
  const keptTailBytes = (section?.integer('keptKilobytes', 0, limits.feedBufferMegabytesMax * 1_024, 1_024) ?? 1_024) * 1_024;
  if (section !== null && segmentBytes * 2 > bytesMax) section.problem('segmentKilobytes', 'two segments at least must fit into megabytesMax');
  if (section !== null && keptTailBytes > bytesMax) section.problem('keptKilobytes', 'is more than megabytesMax');
  return { bytesMax, ageMaxMs: days === 0 ? null : days * 86_400_000, segmentBytes, keptTailBytes };
}

function readFeed(section: Section, common: Common): FeedSettings {
  const name = section.text('name', { matches: feedForm, means: 'a feed\'s name: a small letter or digit, then up to 63 of a-z 0-9 . _ -' });
  const from = section.section('source');
  const source = from === null ? null : readSource(from, common.pathOf);
  const framing = readFraming(section);
  const format = section.text('format', { fallback: 'stamped', matches: formatForm, means: 'one of stamped, raw, lines, u16, u32, fixed:N' });
  const isStamped = format === 'stamped';
  const urgent = section.texts('urgent', { countMax: limits.feedPatternsMax }).flatMap((text, index) => patternOf(section, `urgent[${index}]`, text) ?? []);
  const split = section.sections('split', limits.feedPatternsMax).flatMap((rule): SplitRule[] => {
    const pattern = patternOf(rule, 'pattern', rule.text('pattern', { means: 'a pattern (RE2 syntax)' }) || '.');
    return pattern === null ? [] : [{ pattern, feed: rule.text('feed', { matches: feedForm, means: 'the name of a feed without a source' }) }];
  });
  if (!isStamped) {
    if (source !== null && !streams.has(source.kind)) section.problem('format', `${source.kind} gives records, not bytes: "stamped" alone fits`);
    for (const field of ['framing', 'lineEnd', 'emptyLines', 'urgent', 'split']) if (section.has(field)) section.problem(field, `is for records; format "${format}" sends the bytes as they come`);
    if (source !== null && 'sourceAddress' in source && source.sourceAddress) section.problem('source.sourceAddress', 'is for records');
    if (source?.kind === 'tcp-listen' && source.clientsMax > 1) section.problem('source.clientsMax', 'has to be 1: the bytes of several clients would be mixed');
  } else if (source !== null && !streams.has(source.kind)) {
    for (const field of ['framing', 'lineEnd', 'emptyLines']) if (section.has(field)) section.problem(field, `${source.kind} gives whole records already`);
  } else if (source?.kind === 'file' && framing.kind === 'idle') section.problem('framing', 'a file has no pauses; take "lines", "fixed:N" or "stx-etx"');
  const destinations = section.texts('destinations', { countMin: 1, countMax: limits.feedDestinationsMax });
  return { name, source, framing: isStamped ? framing : { kind: 'none' }, format, urgent, split, buffer: readBuffer(section.section('buffer')), destinations };
}

function checkNames(top: Section, { destinations, feeds }: FeedsSettings): void {
  const twice = (list: readonly { readonly name: string }[], what: string) => {
    const seen = new Set<string>();
    for (const [index, { name }] of list.entries()) {
      if (name !== '' && seen.has(name)) top.problem(`${what}[${index}].name`, `"${name}" is there already`);
      seen.add(name);
    }
    return seen;
  };
  const places = twice(destinations, 'destinations');
  twice(feeds, 'feeds');
  const targets = new Set<string>();
  for (const [index, feed] of feeds.entries()) {
    for (const [at, name] of feed.destinations.entries()) if (!places.has(name)) top.problem(`feeds[${index}].destinations[${at}]`, `there is no destination "${name}"`);
    for (const [at, rule] of feed.split.entries()) {
      const target = feeds.find((other) => other.name === rule.feed);
      targets.add(rule.feed);
      if (target === undefined) top.problem(`feeds[${index}].split[${at}].feed`, `there is no feed "${rule.feed}"`);
      else if (target.source !== null) top.problem(`feeds[${index}].split[${at}].feed`, `"${rule.feed}" has a source of its own`);
      else if (target.format !== 'stamped') top.problem(`feeds[${index}].split[${at}].feed`, `"${rule.feed}" is not of format "stamped"`);
    }
  }
  for (const [index, feed] of feeds.entries()) if (feed.source === null && !targets.has(feed.name)) top.problem(`feeds[${index}].source`, 'is missing, and no split rule leads to this feed');
}

/** Paths in it are relative to the file's folder. Fault `bad-input` that names every problem with its path. */
export function parseFeedsSettings(text: string, file: string): FeedsSettings {
  return readJsonSettings(text, file, (top) => {
    const customer = readCustomer(top, 'default');
    const common: Common = { customer, serial: top.has('serial') ? readSerial(top) : undefined, pathOf: (path) => resolve(dirname(file), path) };
    const destinations = top.sections('destinations', limits.feedDestinationsMax).map((section) => readDestination(section, common));
    const feeds = top.sections('feeds', limits.feedsPerAgentMax).map((section) => readFeed(section, common));
    const settings = { destinations, feeds };
    checkNames(top, settings);
    return settings;
  });
}

/** Null: there is no such file. Faults: `bad-input`, `internal` (it cannot be read). */
export async function readFeedsSettings(file: string): Promise<FeedsSettings | null> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Fault('internal', `${file} cannot be read: ${reasonOf(thrown)}`, { cause: thrown });
  }
  return parseFeedsSettings(text, file);
}
