// The agent's end of a link: one loop of explicit states that keeps it standing until its signal aborts
// (docs/wire/tunnel.md §2: turns, reconnecting, refusals).
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { sleep } from '#base/clock.ts';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { Log } from '#base/log.ts';
import { parseGatewayAddress } from '#wire/join-token.ts';
import { buildMessageParser, encodeMessage } from '#wire/message.ts';
import type { Message } from '#wire/message.ts';
import type { Preface } from '#wire/preface.ts';
import { CloseCode } from '#wire/websocket.ts';
import type { Budget } from './budget.ts';
import { faultOfProblem } from './gateway-dial.ts';
import { linkProtocol } from './greeting.ts';
import { openStream } from './open.ts';
import { MuxSession } from './session.ts';
import type { MuxStream } from './stream.ts';
import { upgrade } from './upgrade.ts';
import type { Upgraded } from './upgrade.ts';

/** The slot's turn, on disk: raised before each dial. */
export interface Turns {
  /** Stores the next turn and resolves it. */
  raise(): Promise<number>;
  /** What the gateway has seen; the next raise is above it. */
  atLeast(turn: number): Promise<void>;
}

export interface LinkOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly limits: Limits;
  readonly budget: Budget;
  readonly slot: number;
  /** 16–64 hex digits, one for each start of the process. */
  readonly instance: string;
  /** `postern/0.1.0 linux-x64` */
  readonly product: string;
  readonly can: readonly string[];
  readonly turns: Turns;
  /** Where to dial, in this order; asked again before each round. */
  addresses(): readonly string[];
  dial(address: string, signal: AbortSignal): Promise<TLSSocket>;
  /** A new certificate with the key that we have. */
  renew(address: string): Promise<void>;
  /** What is said first on the control stream, and again when it has changed. */
  hello(): Message;
  watchHello?(onChange: () => void): () => void;
  onStream(stream: MuxStream): void;
  /** From now on dial there; `working` is the address of the link that said so. */
  onAddresses(addresses: readonly string[], working: string): void;
  onLinked?(linkId: string, address: string): void;
  /** The link stands; `openService` opens a stream to a service of the gateway until `closed` resolves. */
  onStanding?(link: StandingLink): void;
}

export interface StandingLink {
  /** Faults: `unsupported` (the gateway has no such service), `timeout`, `closed` and those that it answers. */
  openService(name: string, fields?: Pick<Preface, 'from' | 'at' | 'mac' | 'door'>, signal?: AbortSignal): Promise<Duplex>;
  readonly closed: Promise<unknown>;
}

interface Linked {
  readonly session: MuxSession;
  readonly address: string;
  readonly sinceMs: number;
  readonly controls: Set<MuxStream>;
  /** The gateway asked for a new link; the address when it named one. */
  readonly drained: Promise<{ readonly moveTo: string | undefined }>;
}

type State =
  | { readonly at: 'resting'; readonly delayMs: number }
  | { readonly at: 'dialing' }
  | { readonly at: 'greeting'; readonly socket: TLSSocket; readonly address: string; readonly turn: number }
  | { readonly at: 'linked'; readonly link: Linked }
  | { readonly at: 'draining'; readonly link: Linked; readonly moveTo: string | undefined };

interface Memory {
  /** The next normal delay. */
  delayMs: number;
  turnRetries: number;
  hasRenewed: boolean;
  /** Dialled before the others, once. */
  moveTo: string | undefined;
}

const handshakeTimeoutMs = 15_000;
const finishLookMs = 500;
const clockOffMs = 60_000;
const retryAfterMaxS = 3_600;

/** Resolves when the signal aborts. Fault `bad-input`: the gateway does not understand this agent; trying again is of no use. */
export async function keepLinked(options: LinkOptions, signal: AbortSignal): Promise<void> {
  const memory: Memory = { delayMs: options.limits.reconnectFirstMs, turnRetries: 0, hasRenewed: false, moveTo: undefined };
  let state: State = { at: 'dialing' };
  while (!signal.aborted) state = await step(state, memory, options, signal);
  if (state.at === 'linked') state.link.session.close('the agent was stopped', CloseCode.normal);
  else if (state.at === 'greeting') state.socket.destroy();
}

async function step(state: State, memory: Memory, options: LinkOptions, signal: AbortSignal): Promise<State> {
  switch (state.at) {
    case 'resting':
      await sleep(options.clock, state.delayMs, signal);
      return { at: 'dialing' };
    case 'dialing':
      return await dialAll(memory, options, signal);
    case 'greeting':
      return await greet(state, memory, options);
    case 'linked':
      return await stayLinked(state.link, memory, options, signal);
    case 'draining':
      memory.moveTo = state.moveTo;
      finish(state.link, options, signal);
      return { at: 'resting', delayMs: state.moveTo === undefined ? random01(options) * options.limits.drainRedialMaxMs : 0 };
  }
}

function random01(options: LinkOptions): number {
  return options.random(4).readUInt32BE(0) / 0x1_0000_0000;
}

function jittered(delayMs: number, options: LinkOptions): number {
  return delayMs * (0.8 + 0.4 * random01(options));
}

/** The normal delay, which doubles each time. */
function rest(memory: Memory, options: LinkOptions, atLeastMs = 0): State {
  const delayMs = Math.max(atLeastMs, memory.delayMs);
  memory.delayMs = Math.min(memory.delayMs * 2, options.limits.reconnectMaxMs);
  return { at: 'resting', delayMs: jittered(delayMs, options) };
}

function restLong(options: LinkOptions): State {
  return { at: 'resting', delayMs: jittered(options.limits.reconnectMaxMs, options) };
}

async function dialAll(memory: Memory, options: LinkOptions, signal: AbortSignal): Promise<State> {
  const first = memory.moveTo;
  memory.moveTo = undefined;
  const addresses = first === undefined ? options.addresses() : [first, ...options.addresses().filter((address) => address !== first)];
  for (const address of addresses) {
    if (signal.aborted) break;
    try {
      const turn = await options.turns.raise();
      const socket = await options.dial(address, signal);
      return { at: 'greeting', socket, address, turn };
    } catch (thrown) {
      if (!isFault(thrown)) throw thrown;
      if (!signal.aborted) options.log.warn('link.unreachable', { address, code: thrown.code, why: thrown.message, ...(thrown.remedy === undefined ? {} : { remedy: thrown.remedy }) });
    }
  }
  return rest(memory, options);
}

async function greet(state: State & { at: 'greeting' }, memory: Memory, options: LinkOptions): Promise<State> {
  const { host, port } = parseGatewayAddress(state.address);
  let upgraded: Upgraded;
  try {
    upgraded = await upgrade(state.socket, {
      host: port === 443 ? host : `${host.includes(':') ? `[${host}]` : host}:${port}`,
      path: '/link',
      protocol: linkProtocol,
      fields: [
        ['Postern-Slot', String(options.slot)],
        ['Postern-Turn', String(state.turn)],
        ['Postern-Instance', options.instance],
        ['Postern-Agent', options.product],
        ['Postern-Can', options.can.join(', ')],
      ],
      random: options.random,
      clock: options.clock,
      timeoutMs: handshakeTimeoutMs,
    });
  } catch (thrown) {
    if (!isFault(thrown)) throw thrown;
    options.log.warn('link.failed', { address: state.address, code: thrown.code, why: thrown.message });
    return rest(memory, options);
  }
  if (!upgraded.ok) return await refused(state.address, upgraded, memory, options);
  return { at: 'linked', link: stand(state, upgraded, options) };
}

/** The table of refusals of docs/wire/tunnel.md §2. */
async function refused(address: string, answer: Upgraded & { ok: false }, memory: Memory, options: LinkOptions): Promise<State> {
  const { status, fields } = answer.head;
  const fault = faultOfProblem(status, answer.problem);
  options.log.warn('link.refused', { address, status, why: printable(fault.message), ...(fault.remedy === undefined ? {} : { remedy: printable(fault.remedy) }) });
  if (status === 400) throw new Fault('bad-input', `the gateway does not understand this agent: ${fault.message}`, { remedy: 'Install the version of the agent that fits the gateway.' });
  if (status === 401 && !memory.hasRenewed) {
    memory.hasRenewed = true;
    try {
      await options.renew(address);
      return { at: 'dialing' };
    } catch (thrown) {
      if (!isFault(thrown)) throw thrown;
      options.log.warn('certificate.not-renewed', { address, code: thrown.code, why: thrown.message });
    }
    return restLong(options);
  }
  const turn = Number(fields.get('postern-turn'));
  if (status === 409 && fields.has('postern-turn') && Number.isSafeInteger(turn) && memory.turnRetries < options.limits.turnRetriesMax) {
    memory.turnRetries += 1;
    await options.turns.atLeast(turn);
    return { at: 'dialing' };
  }
  memory.turnRetries = 0;
  if (status === 429 || status === 503) {
    const seconds = Number(fields.get('retry-after') ?? 0);
    return rest(memory, options, Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), retryAfterMaxS) * 1000 : 0);
  }
  if (status === 401 || status === 403 || status === 409 || status === 426) return restLong(options);
  return rest(memory, options);
}

function stand(state: State & { at: 'greeting' }, upgraded: Upgraded & { ok: true }, options: LinkOptions): Linked {
  const { clock, log } = options;
  const drain = Promise.withResolvers<{ moveTo: string | undefined }>();
  const controls = new Set<MuxStream>();
  const session = new MuxSession({
    socket: state.socket,
    leftover: upgraded.leftover,
    role: 'client',
    isSecure: true,
    clock,
    limits: options.limits,
    random: options.random,
    budget: options.budget,
    onStream: (stream) => options.onStream(stream),
    onGoAway: () => drain.resolve({ moveTo: undefined }),
  });
  const link: Linked = { session, address: state.address, sinceMs: clock.monoMs(), controls, drained: drain.promise };
  const id = upgraded.head.fields.get('postern-link') ?? '';
  const aheadMs = clock.nowMs() - Number(upgraded.head.fields.get('postern-time') ?? Number.NaN);
  if (Math.abs(aheadMs) > clockOffMs) log.warn('clock.off', { aheadSeconds: Math.round(aheadMs / 1000), remedy: 'Set the clock of this machine, or of the gateway.' });
  log.info('link.opened', { link: printable(id), address: state.address, turn: state.turn });
  options.onLinked?.(id, state.address);
  options.onStanding?.({
    openService: async (name, fields, openSignal) => (await openStream(session, { kind: 'service', target: name, ...fields }, { clock, timeoutMs: handshakeTimeoutMs, signal: openSignal })) as Duplex,
    closed: session.closed,
  });
  void openControl(link, options, (moveTo) => drain.resolve({ moveTo }));
  return link;
}

/** The control stream stands as long as the link; without it the link works, only the gateway cannot ask for anything. */
async function openControl(link: Linked, options: LinkOptions, drain: (moveTo: string | undefined) => void): Promise<void> {
  const { clock, limits, log } = options;
  try {
    const stream = (await openStream(link.session, { kind: 'service', target: 'control' }, { clock, timeoutMs: handshakeTimeoutMs })) as MuxStream;
    link.controls.add(stream);
    stream.once('close', () => link.controls.delete(stream));
    stream.once('end', () => stream.end());
    const parser = buildMessageParser(limits.messageBytesMax, (message) => onMessage(message, stream, link.address, options, drain));
    stream.on('data', (chunk: Buffer) => {
      try {
        parser.push(chunk);
      } catch (thrown) {
        if (!isFault(thrown)) throw thrown;
        log.warn('control.failed', { why: thrown.message });
        stream.destroy(thrown);
      }
    });
    const hello = () => {
      if (stream.writable) stream.write(encodeMessage({ id: 1, do: 'hello', ...options.hello() }, limits.messageBytesMax));
    };
    const stop = options.watchHello?.(hello);
    stream.once('close', () => stop?.());
    hello();
  } catch (thrown) {
    log.warn('control.failed', { why: reasonOf(thrown) });
  }
}

function onMessage(message: Message, stream: MuxStream, working: string, options: LinkOptions, drain: (moveTo: string | undefined) => void): void {
  const isAddress = (item: unknown): item is string => {
    try {
      return typeof item === 'string' && parseGatewayAddress(item).isSecure;
    } catch {
      return false;
    }
  };
  const { id, addresses, address } = message;
  switch (message['do']) {
    case 'drain':
      drain(undefined);
      break;
    case 'move':
      if (isAddress(address)) drain(address);
      break;
    case 'settings':
      if (Array.isArray(addresses) && addresses.length > 0 && addresses.length <= 16 && addresses.every(isAddress)) options.onAddresses(addresses, working);
      break;
    case 'revoked':
      options.log.warn('link.revoked', { remedy: 'Join again with a new token.' });
      break;
    case undefined:
      return;
    default:
      if (id !== undefined) stream.write(encodeMessage({ id, fault: { code: 'unsupported', message: 'this agent does not know what this asks' } }, options.limits.messageBytesMax));
      return;
  }
  if (id !== undefined) stream.write(encodeMessage({ id, ok: {} }, options.limits.messageBytesMax));
}

async function stayLinked(link: Linked, memory: Memory, options: LinkOptions, signal: AbortSignal): Promise<State> {
  memory.turnRetries = 0;
  memory.hasRenewed = false;
  const stop = Promise.withResolvers<'stopped'>();
  const onAbort = () => stop.resolve('stopped');
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  const settled = options.clock.after(options.limits.reconnectSettledMs, () => {
    memory.delayMs = options.limits.reconnectFirstMs;
  });
  let ended = await Promise.race([link.session.closed, link.drained, stop.promise]);
  // A GoAway with the close right behind it is no drain: the close says what to do.
  if (ended !== 'stopped' && 'moveTo' in ended) ended = await Promise.race([link.session.closed, Promise.resolve(ended)]);
  settled.cancel();
  signal.removeEventListener('abort', onAbort);
  if (ended === 'stopped') return { at: 'linked', link };
  if ('moveTo' in ended) return { at: 'draining', link, moveTo: ended.moveTo };
  options.log.warn('link.closed', { address: link.address, why: printable(ended.why), code: ended.code });
  if (ended.code === CloseCode.goingAway) return { at: 'resting', delayMs: random01(options) * options.limits.drainRedialMaxMs };
  if (ended.code === CloseCode.refused) return restLong(options);
  return rest(memory, options);
}

/** Lets the streams of a link end that takes no new ones, beside its successor. */
function finish(link: Linked, options: LinkOptions, signal: AbortSignal): void {
  const { session } = link;
  session.goAway();
  const close = () => session.close('drained', CloseCode.normal);
  const timer = options.clock.every(finishLookMs, () => {
    if (session.streams <= link.controls.size) close();
  });
  signal.addEventListener('abort', close);
  void session.closed.then(() => {
    timer.cancel();
    signal.removeEventListener('abort', close);
  });
}
