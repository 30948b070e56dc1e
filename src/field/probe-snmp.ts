// How a device is asked by SNMP when nobody knows yet what it takes (docs/wire/probe.md §3): discovery, then the sets of credentials in order, and what it says when none
// of them works.
import type { Clock } from '#base/clock.ts';
import type { Fault } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { ProbeFault, ProbeFaultCode, Reached, SnmpMeans, SnmpTry, SnmpValue, SnmpVersion, Walked } from '#model/probe/asking.ts';
import { probeFaultOf } from '#model/probe/faults.ts';
import { encodeDiscovery, parseDiscoveryReport } from '#wire/snmp-discovery.ts';
import type { DiscoveryReport } from '#wire/snmp-discovery.ts';
import { defaultSet, setsFor } from './probe-credentials.ts';
import type { CredentialSet } from './probe-credentials.ts';
import type { ProbePace } from './probe-pace.ts';
import { openProbeSocket } from './probe-socket.ts';
import type { ProbeSocket } from './probe-socket.ts';
import { probeFault } from './probe-texts.ts';
import type { Place } from './probe-texts.ts';
import { openSnmpSession } from './snmp.ts';
import type { SnmpAnswer, SnmpIdentity, SnmpSession } from './snmp.ts';

export interface SnmpBy {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly random: Random;
  readonly pace: Pick<ProbePace, 'take'>;
  readonly sets: readonly CredentialSet[];
  readonly memory: SnmpMemory;
  readonly signal: AbortSignal;
}

/** Which set worked last at which place; of the process. */
export interface SnmpMemory {
  get(place: Place): { readonly name: string; readonly version: SnmpVersion } | undefined;
  set(place: Place, worked: { readonly name: string; readonly version: SnmpVersion } | null): void;
}

export function buildSnmpMemory(addressesMax: number): SnmpMemory {
  const kept = new Map<string, { readonly name: string; readonly version: SnmpVersion }>();
  const keyOf = ({ address, port }: Place) => `${address} ${port}`;
  return {
    get: (place) => kept.get(keyOf(place)),
    set(place, worked) {
      kept.delete(keyOf(place));
      if (worked === null) return;
      kept.set(keyOf(place), worked);
      if (kept.size > addressesMax) kept.delete(kept.keys().next().value!);
    },
  };
}

interface Candidate {
  readonly set: CredentialSet;
  readonly identity: SnmpIdentity;
}

function identityOf(set: CredentialSet, version: SnmpVersion): SnmpIdentity {
  if (version === 'v3') return { version, user: set.user ?? '', context: set.context, auth: set.auth, priv: set.priv };
  return { version, community: set.community ?? defaultSet.community! };
}

/** In the order of trying. Without an engine no v3 set is worth its time: a device that speaks v3 answers discovery. */
function candidatesFor(sets: readonly CredentialSet[], address: string, hasEngine: boolean, limits: Limits): Candidate[] {
  const usable = setsFor(sets, address);
  const of = (version: SnmpVersion, fits: (set: CredentialSet) => boolean) => usable.filter(fits).slice(0, limits.probeCredentialsPerAddressMax).map((set): Candidate => ({ set, identity: identityOf(set, version) }));
  return [...(hasEngine ? of('v3', (set) => set.version === 'v3') : []), ...of('v2c', (set) => set.version === 'v2c'), ...of('v1', (set) => set.version !== 'v3')];
}

/** The question that every engine answers, sent twice at most; null: silence. Rejects with the socket's Fault. */
async function discover(socket: ProbeSocket, { clock, limits, random }: SnmpBy): Promise<DiscoveryReport | null> {
  const id = random(4).readUInt32BE(0) >>> 1;
  for (let tries = 0; tries < 2; tries++) {
    await socket.send(encodeDiscovery(id));
    const report = await new Promise<DiscoveryReport | null>((resolve, reject) => {
      const settle = (run: () => void) => {
        timer.cancel();
        mute();
        run();
      };
      const timer = clock.after(limits.probeQuestionTimeoutMs, () => settle(() => resolve(null)));
      let mute = () => {};
      mute = socket.listen({
        onDatagram(datagram) {
          const read = parseDiscoveryReport(datagram);
          if (read?.id === id) settle(() => resolve(read));
        },
        onFailed: (fault) => settle(() => reject(fault)),
      });
    });
    if (report !== null) return report;
  }
  return null;
}

/** The most telling first. */
const telling: readonly ProbeFaultCode[] = ['no-access', 'wrong-privacy', 'wrong-key', 'security-level', 'not-in-time', 'unknown-user', 'damaged'];

export interface SnmpOutcome<Value> {
  /** undefined: no set worked, and `fault` says why. */
  readonly value: Value | undefined;
  readonly fault: Fault | null;
  readonly means: SnmpMeans | null;
  readonly engine: DiscoveryReport | null;
  readonly tried: readonly SnmpTry[];
  readonly from: string | null;
  readonly requests: number;
  /** Something came back. */
  readonly isAlive: boolean;
}

type Question<Value> = (session: SnmpSession, version: SnmpVersion) => Promise<Value>;

/** What was found out on the way. */
interface Course {
  readonly place: Place;
  readonly by: SnmpBy;
  readonly socket: ProbeSocket;
  readonly tried: SnmpTry[];
  engine: DiscoveryReport | null;
  isAlive: boolean;
}

function outcomeOf<Value>({ socket, engine, tried, isAlive }: Course, value: Value | undefined, fault: Fault | null, worked: Candidate | null): SnmpOutcome<Value> {
  const { from, sent: requests } = socket;
  const means = worked && { version: worked.identity.version, credentials: worked.set.name, user: worked.set.user, from, requests };
  return { value, fault, means, engine, tried, from, requests, isAlive };
}

const failedOf = <Value>(course: Course, code: ProbeFaultCode): SnmpOutcome<Value> => outcomeOf<Value>(course, undefined, probeFault(code, course.place, { from: course.socket.from, tried: course.tried }), null);

/** A question is put with one set after the other until one is answered. `isThorough`: discovery comes first even where it is known what worked last. Rejects with Faults of the way there, and of `by.signal`. */
export async function askSnmp<Value>(place: Place, by: SnmpBy, question: Question<Value>, isThorough = false): Promise<SnmpOutcome<Value>> {
  const course: Course = { place, by, socket: await openProbeSocket(place, by.pace, by.signal), tried: [], engine: null, isAlive: false };
  try {
    return await askInOrder(course, question, isThorough);
  } catch (thrown) {
    const code = probeFaultOf(thrown)?.code;
    if (code === 'off' || code === 'unreachable') return failedOf(course, code);
    throw thrown;
  } finally {
    course.socket.close();
  }
}

async function askInOrder<Value>(course: Course, question: Question<Value>, isThorough: boolean): Promise<SnmpOutcome<Value>> {
  const { place, by, socket, tried } = course;
  const last = by.memory.get(place);
  const isLast = ({ set, identity }: Candidate) => set.name === last?.name && identity.version === last.version;
  const remembered = candidatesFor(by.sets, place.address, true, by.limits).find(isLast);
  if (remembered && !isThorough) {
    const done = await tryOne(course, remembered, question, true);
    if (done) return done;
    tried.length = 0;
  }
  course.engine = await discover(socket, by);
  if (course.engine !== null) course.isAlive = true;
  const candidates = candidatesFor(by.sets, place.address, course.engine !== null, by.limits).sort((a, b) => Number(isLast(b)) - Number(isLast(a)));
  for (const candidate of candidates) {
    const done = await tryOne(course, candidate, question, false);
    if (done) return done;
  }
  const code = telling.find((each) => tried.some(({ outcome }) => outcome === each));
  return failedOf(course, code ?? (course.engine === null ? 'silent' : 'credentials'));
}

/** undefined: this set is not the one. `isQuick`: what is wrong with it is found out later. */
async function tryOne<Value>(course: Course, candidate: Candidate, question: Question<Value>, isQuick: boolean): Promise<SnmpOutcome<Value> | undefined> {
  const { place, by, socket, tried } = course;
  const { name } = candidate.set;
  const { version } = candidate.identity;
  const note = (outcome: SnmpTry['outcome']) => void tried.push({ credentials: name, version, outcome });
  let answers = 0;
  const session = listened(openSnmpSession(socket, candidate.identity, by.limits), () => (answers += 1));
  try {
    const value = await question(session, version);
    course.isAlive = true;
    note('ok');
    by.memory.set(place, { name, version });
    return outcomeOf(course, value, null, candidate);
  } catch (thrown) {
    const code = refusalCodeOf(thrown);
    if (code === null) throw thrown;
    if (code !== 'silent') course.isAlive = true;
    // The set is the right one, and the device fell silent, or began to answer nonsense, on the way.
    if (answers > 0 && code !== 'no-access') {
      note('ok');
      return failedOf(course, code);
    }
    if (by.memory.get(place)?.name === name) by.memory.set(place, null);
    // Some engines drop what they cannot decrypt, or whose digest is wrong, without a word.
    note(version === 'v3' && code === 'silent' && !isQuick ? await whySilent(socket, candidate, by.limits) : code);
    return undefined;
  } finally {
    session.close();
  }
}

/** Knows the engine the user without privacy, the keys for that are the wrong ones; otherwise the digest was. */
async function whySilent(socket: ProbeSocket, { identity }: Candidate, limits: Limits): Promise<ProbeFaultCode> {
  if (identity.version !== 'v3' || identity.auth === null) return 'silent';
  if (identity.priv === null) return 'wrong-key';
  const session = openSnmpSession(socket, { ...identity, priv: null }, limits);
  try {
    const answer = await session.get([sysObjectId]);
    if (answer.kind === 'silent') return 'wrong-key';
    return answer.kind === 'refused' && answer.code !== 'security-level' ? answer.code : 'wrong-privacy';
  } finally {
    session.close();
  }
}

function listened(session: SnmpSession, onAnswer: () => void): SnmpSession {
  const heard = async (asked: Promise<SnmpAnswer>) => {
    const answer = await asked;
    if (answer.kind === 'values' || answer.kind === 'status') onAnswer();
    return answer;
  };
  return { get: (oids) => heard(session.get(oids)), next: (oid) => heard(session.next(oid)), bulk: (oid, count) => heard(session.bulk(oid, count)), close: session.close };
}

/** Thrown by questions, so that the next set is tried. Never leaves this file. */
class Refusal extends Error {
  readonly code: ProbeFaultCode;
  constructor(code: ProbeFaultCode) {
    super(code);
    this.code = code;
  }
}

const refusalCodeOf = (thrown: unknown): ProbeFaultCode | null => (thrown instanceof Refusal ? thrown.code : null);

/** The values, or the error status; everything else is thrown. */
function answered(answer: SnmpAnswer): readonly SnmpValue[] | string {
  if (answer.kind === 'values') return answer.values;
  if (answer.kind === 'refused') throw new Refusal(answer.code);
  if (answer.kind === 'silent') throw new Refusal('silent');
  if (answer.status === 'authorizationError') throw new Refusal('no-access');
  return answer.status;
}

const sysObjectId = '1.3.6.1.2.1.1.2.0';
const oidsPerQuestion = 16;
const valuesPerQuestion = 16;

/** The values in the order of the OIDs; what is not there is `missing`. */
export async function getValues(session: SnmpSession, oids: readonly string[]): Promise<SnmpValue[]> {
  const values: SnmpValue[] = [];
  let size = oidsPerQuestion;
  for (let at = 0; at < oids.length; ) {
    const asked = oids.slice(at, at + size);
    const answer = answered(await session.get(asked));
    if (answer === 'tooBig' && asked.length > 1) {
      size = Math.ceil(asked.length / 2);
      continue;
    }
    if (typeof answer !== 'string') values.push(...asked.map((oid, i) => valueFor(oid, i, answer)));
    else if (asked.length === 1) values.push({ oid: asked[0]!, type: 'missing', value: null, why: answer });
    // RFC 1157 §4.1.2: for one that is missing there is no answer at all.
    else for (const oid of asked) values.push(await getOne(session, oid));
    at += asked.length;
  }
  return values;
}

async function getOne(session: SnmpSession, oid: string): Promise<SnmpValue> {
  const answer = answered(await session.get([oid]));
  return typeof answer === 'string' ? { oid, type: 'missing', value: null, why: answer } : valueFor(oid, 0, answer);
}

/** Some devices answer in another order. */
function valueFor(oid: string, at: number, values: readonly SnmpValue[]): SnmpValue {
  const value = values[at]?.oid === oid ? values[at] : values.find((each) => each.oid === oid);
  return value ?? { oid, type: 'missing', value: null, why: 'noSuchInstance' };
}

/** Whether `oid` is behind `other`, in the order of RFC 3416. */
export function isBehind(oid: string, other: string): boolean {
  const [a, b] = [oid.split('.'), other.split('.')];
  for (let i = 0; i < a.length; i++) {
    if (i >= b.length) return true;
    const difference = Number(a[i]) - Number(b[i]);
    if (difference !== 0) return difference > 0;
  }
  return false;
}

export interface Walk {
  readonly root: string;
  readonly after: string | null;
  readonly valuesMax: number;
  /** Of the values as JSON. */
  readonly bytesMax: number;
}

export async function walkValues(session: SnmpSession, version: SnmpVersion, { root, after, valuesMax, bytesMax }: Walk): Promise<Pick<Walked, 'values' | 'next' | 'loop'>> {
  const values: SnmpValue[] = [];
  let cursor = after ?? root;
  let bytes = 0;
  // The first is one step in any version: some devices that take GETNEXT are silent to GETBULK, which must not look like wrong credentials.
  let count = 1;
  let countMax = version === 'v1' ? 1 : valuesPerQuestion;
  for (;;) {
    const wasMany = count > 1;
    const answer = await (wasMany ? session.bulk(cursor, count) : session.next(cursor));
    if (wasMany && (answer.kind === 'silent' || (answer.kind === 'status' && answer.status === 'tooBig'))) {
      countMax = answer.kind === 'silent' ? 1 : count >> 1;
      count = countMax;
      continue;
    }
    const found = answered(answer);
    // v1 ends by noSuchName, and some devices end a table by genErr.
    if (typeof found === 'string' || found.length === 0) break;
    for (const value of found) {
      if (value.type === 'missing' && value.why === 'endOfMibView') return await ended(session, root, after, values);
      if (!value.oid.startsWith(`${root}.`)) return await ended(session, root, after, values);
      if (!isBehind(value.oid, cursor)) return { values, next: null, loop: true };
      const length = Buffer.byteLength(JSON.stringify(value)) + 1;
      if (values.length >= valuesMax || bytes + length > bytesMax) return { values, next: cursor, loop: false };
      values.push(value);
      bytes += length;
      cursor = value.oid;
    }
    count = countMax;
  }
  return await ended(session, root, after, values);
}

/** A root that has nothing below it may be a value itself. */
async function ended(session: SnmpSession, root: string, after: string | null, values: SnmpValue[]): Promise<Pick<Walked, 'values' | 'next' | 'loop'>> {
  if (values.length === 0 && after === null) {
    const itself = await getOne(session, root);
    if (itself.type !== 'missing') values.push(itself);
  }
  return { values, next: null, loop: false };
}

/** Whether somebody answers, and what works there. Rejects with Faults of the way there alone. */
export async function reachBySnmp(place: Place, by: SnmpBy): Promise<Reached> {
  const { engine, means, tried, from, requests, isAlive, fault } = await askSnmp(place, by, (session) => getOne(session, sysObjectId), true).catch(withoutSocket);
  const probe: ProbeFault | null = fault && probeFaultOf(fault);
  return {
    snmp: isAlive ? 'answers' : probe?.code === 'off' || probe?.code === 'unreachable' ? probe.code : 'silent',
    v3: engine && { engineId: engine.engineId.toString('hex'), boots: engine.boots, timeSeconds: engine.timeSeconds },
    version: means?.version ?? null,
    credentials: means?.credentials ?? null,
    user: means?.user ?? null,
    from, requests, tried,
    fault: probe,
  };
}

/** The system knew no way, before anything was sent. */
function withoutSocket(thrown: unknown): SnmpOutcome<SnmpValue> {
  if (probeFaultOf(thrown)?.code !== 'unreachable') throw thrown;
  return { value: undefined, fault: thrown as Fault, means: null, engine: null, tried: [], from: null, requests: 0, isAlive: false };
}
