// A telephone system that is connected to: dialled again and again, with a login where it wants one.
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { addressText } from '../source-address.ts';
import type { Framing, LoginStep, TcpConnectSettings } from '../source-settings.ts';
import { keepTrying, newTally } from './source.ts';
import type { Source, SourceDeps } from './source.ts';
import { takeStream } from './stream.ts';

function dial({ address, keepAliveMs }: TcpConnectSettings, deps: SourceDeps, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address.host, port: address.port, keepAlive: true, keepAliveInitialDelay: keepAliveMs });
    const fail = (thrown: unknown) => {
      settle();
      socket.on('error', () => {});
      socket.destroy();
      reject(thrown instanceof Error ? thrown : new Error(String(thrown)));
    };
    const onAbort = () => fail(new Fault('closed', 'the source was closed'));
    const timer = deps.clock.after(limits.feedDialTimeoutMs, () => fail(new Fault('timeout', `${addressText(address)} did not answer within ${limits.feedDialTimeoutMs / 1_000} s`)));
    const settle = () => {
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
      socket.off('error', fail);
    };
    socket.once('error', fail);
    socket.once('connect', () => {
      settle();
      resolve(socket);
    });
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
  });
}

/** Reads until `expect` was seen; gives what came behind it. The texts are left out of faults: they may be secrets. */
function awaitText(socket: Socket, before: Buffer, expect: Buffer, step: number, deps: SourceDeps, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let held = before;
    const settle = () => {
      timer.cancel();
      socket.pause();
      socket.off('data', onData).off('close', onClose).off('error', onError);
      signal.removeEventListener('abort', onAbort);
    };
    const fail = (fault: unknown) => {
      settle();
      reject(fault instanceof Error ? fault : new Error(String(fault)));
    };
    const look = (): boolean => {
      const at = held.indexOf(expect);
      if (at < 0) return false;
      settle();
      resolve(held.subarray(at + expect.length));
      return true;
    };
    const onData = (bytes: Buffer) => {
      held = Buffer.concat([held, bytes]);
      if (!look() && held.length > limits.feedRecordBytesMax) fail(new Fault('protocol', `login step ${step}: ${held.length} bytes came without what is expected`));
    };
    const onClose = () => fail(new Fault('closed', `login step ${step}: the other end closed the connection`));
    const onError = (error: Error) => fail(error);
    const onAbort = () => fail(new Fault('closed', 'the source was closed'));
    const timer = deps.clock.after(limits.feedLoginTimeoutMs, () => fail(new Fault('timeout', `login step ${step}: what is expected did not come within ${limits.feedLoginTimeoutMs / 1_000} s`)));
    socket.on('data', onData).on('close', onClose).on('error', onError);
    signal.addEventListener('abort', onAbort);
    if (signal.aborted) onAbort();
    else if (!look()) socket.resume();
  });
}

async function textToSend(step: LoginStep): Promise<string> {
  if (step.sendFile === null) return step.send;
  const text = await readFile(step.sendFile, 'utf8');
  return `${text.split(/\r?\n/)[0]}\r`;
}

/** What came behind the login. */
async function logIn(socket: Socket, login: readonly LoginStep[], deps: SourceDeps, signal: AbortSignal): Promise<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for (const [index, step] of login.entries()) {
    if (step.expect !== '') rest = await awaitText(socket, rest, Buffer.from(step.expect), index + 1, deps, signal);
    const text = await textToSend(step);
    if (text !== '') socket.write(text);
  }
  return rest;
}

export function openTcpConnect(settings: TcpConnectSettings, framing: Framing, deps: SourceDeps): Source {
  const tally = newTally(deps);
  const end = new AbortController();
  const done = keepTrying(deps, tally, end.signal, async (worked) => {
    const socket = await dial(settings, deps, end.signal);
    const ignore = () => {};
    // Between the steps of a login nobody else listens; the next read tells it as `close`.
    socket.on('error', ignore);
    try {
      const before = await logIn(socket, settings.login, deps, end.signal);
      worked();
      tally.connected = 1;
      const taken = takeStream(socket, { framing, silenceMs: settings.silenceMs, before, signal: end.signal }, deps, tally);
      await taken;
    } finally {
      tally.connected = 0;
      socket.destroy();
    }
    if (!end.signal.aborted) throw new Fault('closed', `${addressText(settings.address)} closed the connection`);
  });
  return {
    status: () => tally.status(`tcp-connect ${addressText(settings.address)}`),
    async close() {
      end.abort();
      deps.intake.release();
      await done;
    },
  };
}
