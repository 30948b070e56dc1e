// A flow: the datagrams between one source and one target, both ways. The twin of a byte stream, and what is true of UDP is
// true of it: each datagram arrives whole or not at all, nothing waits for a slow reader, and what is dropped is only counted.
import type { Clock } from '#base/clock.ts';
import { isFault } from '#base/fault.ts';
import type { Fault } from '#base/fault.ts';

export interface FlowCounts {
  /** Handed on, and their bytes without anything around them. */
  readonly sent: number;
  readonly sentBytes: number;
  readonly received: number;
  readonly receivedBytes: number;
  /** Given to `send` and not handed on: too long, too old, no room, or the flow was over. */
  readonly dropped: number;
}

export interface FlowEnd {
  readonly why: string;
  /** Absent when it ended in order: idle, done, the other end is gone. */
  readonly fault?: Fault;
}

export interface Flow {
  /** Never waits; the bytes are not changed after it. False: it was dropped at once; one that was taken may still be dropped, and is counted then. */
  send(datagram: Buffer): boolean;
  /** Set once; what came before is given then, to a bound. A datagram is a view: copy what is kept. */
  onDatagram(take: (datagram: Buffer) => void): void;
  /** Called once per listener, at once when it is over already. No datagram is given after it. */
  onClosed(told: (end: FlowEnd) => void): void;
  /** Ends it; what was taken before still goes if it can. A Fault is told to the other end where the carrier can tell. */
  close(why: string | Fault): void;
  readonly isClosed: boolean;
  readonly counts: FlowCounts;
}

/** The state that every flow has: its counts, its listeners, its one end. */
export interface FlowState {
  readonly counts: { sent: number; sentBytes: number; received: number; receivedBytes: number; dropped: number };
  readonly isClosed: boolean;
  onClosed(told: (end: FlowEnd) => void): void;
  /** False when it was over before. */
  end(end: FlowEnd): boolean;
}

export function newFlowState(): FlowState {
  let over: FlowEnd | undefined;
  let listeners: ((end: FlowEnd) => void)[] = [];
  return {
    counts: { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0, dropped: 0 },
    get isClosed() {
      return over !== undefined;
    },
    onClosed(told) {
      if (over === undefined) listeners.push(told);
      else told(over);
    },
    end(end) {
      if (over !== undefined) return false;
      over = end;
      const told = listeners;
      listeners = [];
      for (const tell of told) tell(end);
      return true;
    },
  };
}

export const endOf = (why: string | Fault): FlowEnd => (isFault(why) ? { why: why.message, fault: why } : { why });

/** Joins two flows until either is over or neither had a datagram for `idleMs`; both are closed then. Resolves with the first end. */
export function relayFlows(a: Flow, b: Flow, options: { readonly clock: Clock; readonly idleMs: number }): Promise<FlowEnd> {
  const { clock, idleMs } = options;
  return new Promise((resolve) => {
    let movedAtMs = clock.monoMs();
    let first: FlowEnd | undefined;
    const look = () => {
      const idle = clock.monoMs() - movedAtMs;
      if (idle >= idleMs) a.close(`idle for ${Math.round(idleMs / 1000)} s`);
      else timer = clock.after(idleMs - idle, look);
    };
    let timer = clock.after(idleMs, look);
    const join = (from: Flow, to: Flow) => {
      from.onClosed((end) => {
        timer.cancel();
        if (first === undefined) {
          first = end;
          resolve(end);
        }
        to.close(end.fault ?? end.why);
      });
      from.onDatagram((datagram) => {
        movedAtMs = clock.monoMs();
        to.send(datagram);
      });
    };
    join(a, b);
    join(b, a);
  });
}
