// One event stream per browser, shared by its tabs: HTTP/1.1 allows six connections to a host, and every open tab would hold one.
// The tab that holds a Web Lock reads the stream and passes each event on by BroadcastChannel. Web Locks exist only in secure
// contexts; without them each tab reads its own stream.
import type { EventData, EventName } from '#api/shapes.ts';
import { useSyncExternalStore } from 'react';
import { eventsAddress } from './api.ts';

export type LiveState = 'connecting' | 'live' | 'lost';

export type LiveEvent = { readonly [Name in EventName]: { readonly name: Name; readonly data: EventData<Name> } }[EventName];
/** `again`: events may have been missed, everything shown has to be read again. */
type Listener = (event: LiveEvent | { readonly name: 'again' }) => void;

type Message = { readonly kind: 'event'; readonly event: LiveEvent } | { readonly kind: 'state'; readonly state: LiveState } | { readonly kind: 'again' } | { readonly kind: 'ask' };

const NAMES: readonly EventName[] = ['hello', 'links', 'devices', 'visits', 'people', 'audit', 'conns', 'status', 'certificates', 'config', 'waiting', 'feeds', 'probes', 'places', 'applications', 'join', 'bye'];
const LOCK = 'postern.events';
const CHANNEL = 'postern.events';
const RETRY_FIRST_MS = 1_000;
const RETRY_MAX_MS = 30_000;
const BEAT_MS = 10_000;
/** A hidden tab's timers run once a minute; a leader that is silent for longer is frozen. */
const SILENCE_MAX_MS = 75_000;

let state: LiveState = 'connecting';
const stateWatchers = new Set<() => void>();

function setState(next: LiveState): void {
  if (next === state) return;
  state = next;
  for (const watcher of stateWatchers) watcher();
}

export function useLiveState(): LiveState {
  return useSyncExternalStore(
    (watcher) => {
      stateWatchers.add(watcher);
      return () => stateWatchers.delete(watcher);
    },
    () => state,
  );
}

/** Reads the stream until it is stopped; a stream that breaks is dialled again. */
function readStream(onEvent: (event: LiveEvent) => void, onState: (state: LiveState) => void, onAgain: () => void): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | null = null;
  let waitMs = RETRY_FIRST_MS;
  let opened = false;
  let stopped = false;
  const retry = () => {
    source?.close();
    source = null;
    if (stopped || timer !== null) return;
    timer = setTimeout(() => {
      timer = null;
      dial();
    }, waitMs);
    waitMs = Math.min(waitMs * 2, RETRY_MAX_MS);
  };
  const dial = () => {
    if (stopped) return;
    onState(opened ? 'lost' : 'connecting');
    source = new EventSource(eventsAddress);
    source.addEventListener('open', () => {
      waitMs = RETRY_FIRST_MS;
      onState('live');
      if (opened) onAgain();
      opened = true;
    });
    source.addEventListener('error', () => {
      onState('lost');
      retry();
    });
    for (const name of NAMES) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        try {
          onEvent({ name, data: JSON.parse(event.data) } as LiveEvent);
        } catch {
          onAgain(); // an event that cannot be read: what it would have said is read anew
        }
      });
    }
  };
  const wake = () => {
    if (timer === null) return;
    clearTimeout(timer);
    timer = null;
    waitMs = RETRY_FIRST_MS;
    dial();
  };
  addEventListener('online', wake);
  dial();
  return () => {
    stopped = true;
    removeEventListener('online', wake);
    if (timer !== null) clearTimeout(timer);
    source?.close();
  };
}

/** Events until the returned function is called. Call it once per page. */
export function listenLive(listener: Listener): () => void {
  setState('connecting');
  if (!('locks' in navigator) || !('BroadcastChannel' in globalThis)) return readStream(listener, setState, () => listener({ name: 'again' }));
  const channel = new BroadcastChannel(CHANNEL);
  const stop = new AbortController();
  let leading = false;
  let heardAt = Date.now();
  const send = (message: Message) => channel.postMessage(message);
  channel.addEventListener('message', ({ data }: MessageEvent<Message>) => {
    if (data.kind === 'ask') {
      if (leading) send({ kind: 'state', state });
      return;
    }
    heardAt = Date.now();
    if (leading) return;
    if (data.kind === 'event') listener(data.event);
    else if (data.kind === 'state') setState(data.state);
    else listener({ name: 'again' });
  });
  const lead = async () => {
    leading = true;
    const end = readStream(
      (event) => {
        listener(event);
        send({ kind: 'event', event });
      },
      (next) => {
        setState(next);
        send({ kind: 'state', state: next });
      },
      () => {
        listener({ name: 'again' });
        send({ kind: 'again' });
      },
    );
    // Between the last leader's end and this beginning events may have been missed.
    listener({ name: 'again' });
    send({ kind: 'again' });
    const beat = setInterval(() => send({ kind: 'state', state }), BEAT_MS);
    await new Promise<void>((done) => {
      stop.signal.addEventListener('abort', () => done());
      retire = done;
    });
    clearInterval(beat);
    end();
    leading = false;
  };
  let retire: () => void = () => {};
  const queue = (steal: boolean) => {
    navigator.locks.request(LOCK, steal ? { steal } : { signal: stop.signal }, lead).catch(() => {
      // Stopped, or another tab took over because this one seemed frozen: follow it.
      retire();
      if (!stop.signal.aborted) setTimeout(() => queue(false), RETRY_FIRST_MS);
    });
  };
  queue(false);
  send({ kind: 'ask' });
  const watch = setInterval(() => {
    if (leading || document.visibilityState !== 'visible' || Date.now() - heardAt < SILENCE_MAX_MS) return;
    heardAt = Date.now();
    queue(true);
  }, BEAT_MS);
  return () => {
    clearInterval(watch);
    stop.abort();
    channel.close();
  };
}
