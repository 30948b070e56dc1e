// The agent's service `probe` (docs/wire/probe.md): what the gateway wants to know of devices in this LAN is asked where the local policy allows it, with credentials that
// stay here, and no faster than was said.
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { Log } from '#base/log.ts';
import { lineToReach, mayReach } from '#model/policy.ts';
import type { Policy, Transport } from '#model/policy.ts';
import type { ProbeFault } from '#model/probe/asking.ts';
import { faultOfProbe, isProbeFaultCode, probeFaultOf } from '#model/probe/faults.ts';
import { buildMessageParser, encodeMessage } from '#wire/message.ts';
import type { Message } from '#wire/message.ts';
import { findNeighbour, readSurroundings } from './neighbours.ts';
import { openProbeCredentials, parseCredentials, shownOf } from './probe-credentials.ts';
import type { ProbeCredentials } from './probe-credentials.ts';
import { askDns, isDnsName } from './probe-dns.ts';
import { askHttp, fieldOf, titleOf } from './probe-http.ts';
import { buildProbePace } from './probe-pace.ts';
import type { ProbePace } from './probe-pace.ts';
import { askSnmp, buildSnmpMemory, getValues, isBehind, reachBySnmp, walkValues } from './probe-snmp.ts';
import type { SnmpBy, SnmpMemory, SnmpOutcome } from './probe-snmp.ts';
import { badInput, isOneDevice, placeOf, probeFault } from './probe-texts.ts';
import type { Place } from './probe-texts.ts';
import type { SnmpSession } from './snmp.ts';

export interface ProbeOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  readonly random: Random;
  /** This machine's own. Default: what /etc/resolv.conf names. */
  readonly resolvers?: () => Promise<readonly string[]>;
  /** Where the credentials are. */
  readonly stateDir: string;
  policy(): Policy;
}

/** Serves one stream of the service once it was accepted. Never rejects. */
export type ServeProbe = (stream: Duplex) => Promise<void>;

interface Inside extends ProbeOptions {
  readonly resolvers: () => Promise<readonly string[]>;
  readonly pace: ProbePace;
  readonly credentials: ProbeCredentials;
  readonly memory: SnmpMemory;
}

/** Of the process: pace, credentials and what worked where are shared by all streams. */
export function buildProbe(options: ProbeOptions): ServeProbe {
  const { clock, limits, log, random } = options;
  const inside: Inside = {
    ...options,
    resolvers: options.resolvers ?? (async () => (await readSurroundings()).resolvers),
    pace: buildProbePace({ clock, limits }),
    credentials: openProbeCredentials({ folder: options.stateDir, random }),
    memory: buildSnmpMemory(limits.probeAddressesRememberedMax),
  };
  let open = 0;
  return async (stream) => {
    if (open >= limits.probeStreamsMax) {
      log.warn('probe.broken', { why: `${open} streams for probes are open already` });
      return void stream.destroy();
    }
    open += 1;
    try {
      await serve(stream, inside);
    } catch (thrown) {
      log.warn('probe.broken', { why: reasonOf(thrown) });
      stream.destroy();
    } finally {
      open -= 1;
    }
  };
}

/** Resolves when the stream has ended in order, rejects with why it broke. */
function serve(stream: Duplex, inside: Inside): Promise<void> {
  const { clock, limits, log } = inside;
  return new Promise((resolve, reject) => {
    const given = new AbortController();
    const asked = new Set<string>();
    const waiting: Message[] = [];
    let hasEnded = false;
    const settle = (why: Fault | null) => {
      idle.cancel();
      given.abort(why ?? new Fault('closed', 'the stream for probes has ended'));
      if (why) reject(why);
      else resolve();
    };
    const giveUp = (why: Fault) => {
      settle(why);
      stream.destroy();
    };
    const rest = () => clock.after(limits.probeStreamIdleMs, () => (asked.size === 0 ? end() : (idle = rest())));
    let idle = rest();
    const end = () => {
      stream.end();
      stream.resume();
      settle(null);
    };
    const start = (message: Message) => {
      const { id } = message;
      const key = JSON.stringify(id);
      if ((typeof id !== 'number' && !(typeof id === 'string' && id.length <= 64)) || asked.has(key)) return giveUp(new Fault('protocol', 'a request for a probe has no id of its own'));
      asked.add(key);
      idle.cancel();
      idle = rest();
      answerTo(message, inside, given.signal)
        .then((answer) => send(stream, { id, ...answer }, limits))
        .catch((thrown: unknown) => {
          log.error('probe.failed', { do: printable(String(message['do']), 40), why: reasonOf(thrown) });
          stream.destroy();
        })
        .finally(() => {
          asked.delete(key);
          next();
        });
    };
    const next = () => {
      while (waiting.length > 0 && asked.size < limits.probeRequestsPerStreamMax && !given.signal.aborted) start(waiting.shift()!);
      if (waiting.length > 0) stream.pause();
      else if (stream.isPaused()) stream.resume();
      if (hasEnded && asked.size === 0 && waiting.length === 0 && !given.signal.aborted) end();
    };
    const parser = buildMessageParser(limits.messageBytesMax, (message) => void waiting.push(message));
    stream.on('data', (chunk: Buffer) => {
      try {
        parser.push(chunk);
      } catch (thrown) {
        return giveUp(isFault(thrown) ? thrown : new Fault('internal', reasonOf(thrown)));
      }
      next();
    });
    stream.once('end', () => {
      hasEnded = true;
      next();
    });
    stream.once('error', (error) => settle(isFault(error) ? error : new Fault('closed', 'the stream for probes broke', { cause: error })));
    stream.once('close', () => settle(null));
    if (stream.destroyed) settle(null);
  });
}

/** Whoever does not read the answers gets no more of them. */
function send(stream: Duplex, message: Message, limits: Limits): void {
  if (!stream.writable) return;
  if (stream.writableLength > 16 * limits.messageBytesMax) return void stream.destroy();
  try {
    stream.write(encodeMessage(message, limits.messageBytesMax));
  } catch (thrown) {
    if (!isFault(thrown, 'too-large')) throw thrown;
    const fault: ProbeFault = { code: 'too-large', message: 'the answer is longer than a message', remedy: 'ask for less at once', from: null, tried: [] };
    stream.write(encodeMessage({ id: message['id'], fault }, limits.messageBytesMax));
  }
}

async function answerTo(message: Message, inside: Inside, signal: AbortSignal): Promise<Message> {
  try {
    return { ok: await act(message, inside, signal) };
  } catch (thrown) {
    const fault = wireFaultOf(thrown);
    if (fault.code === 'internal') inside.log.error('probe.failed', { do: printable(String(message['do']), 40), why: reasonOf(thrown) });
    else if (!signal.aborted) inside.log.debug('probe.refused', { do: printable(String(message['do']), 40), address: printable(String(message['address']), 60), code: fault.code });
    return { fault };
  }
}

function wireFaultOf(thrown: unknown): ProbeFault {
  const probe = probeFaultOf(thrown);
  if (probe) return probe;
  const code = isFault(thrown) && isProbeFaultCode(thrown.code) ? thrown.code : 'internal';
  // What is no Fault is told to nobody but the log.
  return { code, message: isFault(thrown) ? thrown.message : 'the agent failed', remedy: (isFault(thrown) && thrown.remedy) || 'the agent\'s log says more', from: null, tried: [] };
}

async function act(message: Message, inside: Inside, signal: AbortSignal): Promise<unknown> {
  const { pace, credentials, limits } = inside;
  switch (message['do']) {
    case 'pace':
      return pace.set(numberIn(message, 'perSecond', pace.perSecond, 1, Infinity), numberIn(message, 'atOnce', pace.atOnce, 1, Infinity));
    case 'info': {
      const [around, sets, resolvers] = await Promise.all([readSurroundings(), credentials.list(), inside.resolvers()]);
      return { ...around, resolvers, credentials: sets.map(shownOf), defaultCredentials: sets.length === 0, perSecond: pace.perSecond, atOnce: pace.atOnce };
    }
    case 'set-credentials':
      return await setCredentials(message, inside);
    case 'mac':
      return await findNeighbour(judgeAny(addressOf(message), inside));
    case 'reach':
      return await atSnmp(message, inside, signal, reachBySnmp);
    case 'get': {
      const oids = oidsOf(message['oids'], limits);
      return await atSnmp(message, inside, signal, async (place, by) => {
        const asked = await askSnmp(place, by, (session) => getValues(session, oids));
        return { values: orThrow(asked), ...asked.means };
      });
    }
    case 'walk':
      return await walk(message, inside, signal);
    case 'dns':
      return await atResolver(message, inside, signal);
    case 'ipp':
    case 'http':
      return await atHttp(message, inside, signal);
    default:
      throw faultOfProbe({ code: 'unsupported', message: 'this agent does not know what this asks', remedy: 'bring the agent up to date', from: null, tried: [] });
  }
}

/** Of the asked numbers; Fault `bad-input` for what is none. */
function numberIn(message: Message, name: string, standard: number, least: number, most: number): number {
  const value = message[name];
  if (value === undefined || value === null) return standard;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) throw badInput(`"${name}" is ${most === Infinity ? `a number from ${least} on` : `a number from ${least} to ${most}`}`);
  return value;
}

function addressOf(message: Message): string {
  const { address } = message;
  if (typeof address !== 'string' || isIP(address) === 0 || !isOneDevice(address)) throw badInput('"address" is the IPv4 or IPv6 address of one device, without a zone; names are not taken');
  return address;
}

function oidsOf(value: unknown, limits: Limits): string[] {
  const isOid = (each: unknown): each is string => typeof each === 'string' && each.length <= limits.probeOidCharsMax && /^[0-2](\.(0|[1-9]\d{0,9})){1,127}$/.test(each) && each.split('.').every((part) => Number(part) <= 0xffff_ffff);
  if (!Array.isArray(value) || value.length === 0 || value.length > limits.probeOidsMax || !value.every(isOid)) throw badInput(`"oids" are 1 to ${limits.probeOidsMax} object identifiers as 1.3.6.1.2.1.1.2.0`);
  return value;
}

/** The policy's word, before anything is sent. Fault `policy`. */
function judge(transport: Transport, place: Place, { policy }: Inside): Place {
  if (mayReach(policy(), transport, place.address, place.address, place.port)) return place;
  throw forbidden(`the agent's local policy does not allow ${transport} to ${placeOf(place)}`, lineToReach(transport, place.address, place.port));
}

/** For what sends nothing and still tells something of an address: any line that has it. */
function judgeAny(address: string, { policy }: Inside): string {
  const current = policy();
  if (current.reach.some(({ transport, ports }) => mayReach(current, transport, address, address, ports[0]!.first))) return address;
  throw forbidden(`the agent's local policy has no line for ${address}`, lineToReach('udp', address, 161));
}

const forbidden = (message: string, line: string): Fault => faultOfProbe({ code: 'policy', message, remedy: `to allow it, add this line to the agent's policy file: ${line}`, from: null, tried: [] });

/** Runs at the device's turn, for as long as it may take. */
async function inItsTurn<Result>(message: Message, place: Place, inside: Inside, signal: AbortSignal, run: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  const { clock, limits, pace } = inside;
  const withinMs = numberIn(message, 'withinMs', limits.probeWithinMs, limits.probeWithinMinMs, limits.probeWithinMaxMs);
  return await pace.at(place.address, signal, async () => {
    const over = new AbortController();
    const timer = clock.after(withinMs, () => over.abort(probeFault('timeout', place)));
    try {
      return await run(AbortSignal.any([signal, over.signal]));
    } finally {
      timer.cancel();
    }
  });
}

async function atSnmp<Result>(message: Message, inside: Inside, signal: AbortSignal, run: (place: Place, by: SnmpBy) => Promise<Result>): Promise<Result> {
  const place = judge('udp', { address: addressOf(message), port: numberIn(message, 'port', 161, 1, 65_535) }, inside);
  const sets = await inside.credentials.list();
  const { clock, limits, random, pace, memory } = inside;
  return await inItsTurn(message, place, inside, signal, (within) => run(place, { clock, limits, random, pace, memory, sets, signal: within }));
}

/** What was asked for, or why it was not answered. */
function orThrow<Value>({ value, fault }: SnmpOutcome<Value>): Value {
  if (value === undefined) throw fault;
  return value;
}

/** A message's length less what stands around the values. */
const walkBytesMax = (limits: Limits): number => limits.messageBytesMax - 2_048;

async function walk(message: Message, inside: Inside, signal: AbortSignal): Promise<unknown> {
  const { limits } = inside;
  const [root] = oidsOf([message['root']], limits);
  const after = message['after'] === undefined || message['after'] === null ? null : oidsOf([message['after']], limits)[0]!;
  const valuesMax = numberIn(message, 'max', limits.probeWalkValues, 1, limits.probeWalkValuesMax);
  if (root === undefined || (after !== null && !isBehind(after, root))) throw badInput('"after" is an OID below "root"');
  return await atSnmp(message, inside, signal, async (place, by) => {
    const order = { root, after, valuesMax, bytesMax: walkBytesMax(limits) };
    const asked = await askSnmp(place, by, (session: SnmpSession, version) => walkValues(session, version, order));
    return { ...orThrow(asked), ...asked.means };
  });
}

async function atHttp(message: Message, inside: Inside, signal: AbortSignal): Promise<unknown> {
  const { limits, clock, pace } = inside;
  const isIpp = message['do'] === 'ipp';
  const tls = message['tls'] === true;
  const place = judge('tcp', { address: addressOf(message), port: numberIn(message, 'port', isIpp ? 631 : tls ? 443 : 80, 1, 65_535) }, inside);
  const { path, body } = isIpp ? ippOf(message, limits) : { path: '/', body: null };
  const bodyBytesMax = isIpp ? limits.probeIppAnswerBytesMax : limits.probeHttpBodyBytesMax;
  const answer = await inItsTurn(message, place, inside, signal, (within) => askHttp({ ...place, tls, path, ipp: body }, bodyBytesMax, { clock, limits, pace, signal: within }));
  const { status, headers, certificate, from } = answer;
  const location = fieldOf(headers.location);
  if (!isIpp) return { status, server: fieldOf(headers.server), title: titleOf(answer.body), location, certificate, from };
  if (answer.isCut) throw probeFault('too-large', place, { what: 'IPP', from });
  return { status, body: status === 200 ? answer.body.toString('base64') : '', location, certificate, from };
}

/** Resolvers that this machine uses are asked by it anyway: they need no line of the policy. */
async function atResolver(message: Message, inside: Inside, signal: AbortSignal): Promise<unknown> {
  const { limits, clock, pace, random } = inside;
  const { resolver, name, type } = message;
  if (!isDnsName(name)) throw badInput('"name" is the name of a host');
  if (type !== 'A' && type !== 'AAAA') throw badInput('"type" is A or AAAA');
  const own = await inside.resolvers();
  const port = numberIn(message, 'port', 53, 1, 65_535);
  const withinMs = numberIn(message, 'timeoutMs', limits.probeDnsTimeoutMs, limits.probeWithinMinMs, limits.probeDnsTimeoutMaxMs);
  const isOwn = (place: Place) => place.port === 53 && own.includes(place.address);
  const places: Place[] = resolver === 'system' ? own.slice(0, limits.dnsServersMax).map((address) => ({ address, port: 53 })) : [{ address: addressOf({ address: resolver }), port }];
  if (places.length === 0) throw faultOfProbe({ code: 'unreachable', message: 'this machine has no resolver', remedy: 'name one in /etc/resolv.conf', from: null, tried: [] });
  let last: unknown = null;
  for (const place of places) {
    if (!isOwn(place)) judge('udp', place, inside);
    const mayUseTcp = () => void (isOwn(place) || judge('tcp', place, inside));
    try {
      return await inItsTurn({ withinMs }, place, inside, signal, (within) => askDns({ ...place, name, type }, { clock, random, pace, signal: within, mayUseTcp }));
    } catch (thrown) {
      last = thrown;
      if (signal.aborted) break;
    }
  }
  throw last;
}

function ippOf({ path = '/ipp/print', body }: Message, limits: Limits): { readonly path: string; readonly body: Buffer } {
  if (typeof path !== 'string' || !/^\/[!-~]{0,199}$/.test(path)) throw badInput('"path" begins with / and has at most 200 characters');
  if (typeof body !== 'string' || !/^[A-Za-z0-9+/]+={0,2}$/.test(body)) throw badInput('"body" is base64');
  const bytes = Buffer.from(body, 'base64');
  if (bytes.length > limits.probeIppRequestBytesMax) throw badInput(`"body" has at most ${limits.probeIppRequestBytesMax} bytes`);
  return { path, body: bytes };
}

async function setCredentials(message: Message, { credentials, limits, log }: Inside): Promise<unknown> {
  const { put = [], remove = [] } = message;
  if (!Array.isArray(put) || put.length > limits.probeCredentialsMax) throw badInput(`"put" is a list of at most ${limits.probeCredentialsMax} sets`);
  if (!Array.isArray(remove) || remove.length > limits.probeCredentialsMax || !remove.every((each): each is string => typeof each === 'string')) throw badInput('"remove" is a list of names');
  const sets = put.map(parseCredentials);
  const now = await credentials.change({ put: sets, remove });
  log.info('probe.credentials-set', { put: sets.map(({ name }) => name), removed: remove.map((each) => printable(each, 40)) });
  return { credentials: now.map(shownOf) };
}
