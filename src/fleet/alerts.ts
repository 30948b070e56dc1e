// Alerts: what intake queued in the transaction that stored a record is told here, in the journal and the console at once, and to the
// alert's web address until it takes it. One alert has one key, whatever restarts lie between two tries.
import type { Clock, Timer } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import type { Config } from '#model/config.ts';
import type { Journal } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import type { FeedAlert } from '#model/rows.ts';
import type { SinkSource } from '#model/sink-batch.ts';
import { postJson } from './post-json.ts';

export interface AlertsDeps {
  readonly operations: Pick<Operations, 'dueAlerts' | 'settleAlerts' | 'readEpoch'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly journal: Pick<Journal, 'note'>;
  readonly limits: Limits;
  readonly config: () => Pick<Config, 'feeds'>;
  readonly customerKey: (id: string) => string;
  /** null: there is none of that name. */
  readonly secretOf: (name: string) => Promise<Buffer | null>;
}

export interface Alerts {
  /** Some were queued. */
  wake(): void;
  close(): Promise<void>;
}

type Settled = Pick<FeedAlert, 'id' | 'tries' | 'dueAt' | 'doneAt' | 'why'>;

const lookEveryMs = 5_000;
const perLook = 64;

export function openAlerts(deps: AlertsDeps): Alerts {
  const { operations, clock, log, journal, limits } = deps;
  const ending = new AbortController();
  /** Told, and perhaps not settled yet: the journal says each once. */
  const told = new Set<string>();
  let running: Promise<void> | null = null;
  let again = false;
  let timer: Timer | null = null;

  const tell = async (alert: FeedAlert): Promise<SinkSource | null> => {
    const epoch = await operations.readEpoch(alert.epoch);
    if (!epoch) return null;
    const source = { customer: deps.customerKey(alert.customerId), serial: epoch.feed.serial, feed: epoch.feed.name, epoch: epoch.epoch };
    if (alert.tries === 0 && !told.has(alert.id)) {
      if (told.size >= 10_000) told.clear();
      told.add(alert.id);
      journal.note('feed.alert', { alert: alert.rule, id: alert.id, ...source, off: alert.off });
      log.warn('feed.alert', { alert: alert.rule, id: alert.id, ...source, off: alert.off });
    }
    return source;
  };

  const deliver = async (alert: FeedAlert): Promise<Settled> => {
    const now = clock.nowMs();
    const done = (why: string | null): Settled => ({ id: alert.id, tries: alert.tries + (why === null ? 1 : 0), dueAt: alert.dueAt, doneAt: clock.nowMs(), why });
    const source = await tell(alert);
    if (!source) return done('its feed was removed');
    const rule = (deps.config().feeds ?? []).flatMap((each) => each.alerts).find((each) => each.name === alert.rule);
    if (!rule) return done('the configuration has it no more');
    if (rule.webhook === undefined) return done(null);
    const tries = alert.tries + 1;
    let why: string;
    let pause = Math.min(limits.sinkRetryMaxMs, limits.sinkRetryMinMs * 2 ** Math.min(alert.tries, 20)) * (0.5 + deps.random(1)[0]! / 510);
    try {
      const secret = rule.secret === undefined ? null : await deps.secretOf(rule.secret);
      if (rule.secret !== undefined && !secret) throw new Error(`the secret ${rule.secret} is not set`);
      const body = JSON.stringify({ id: alert.id, alert: alert.rule, ...source, off: alert.off, at: new Date(alert.at).toISOString(), record: alert.record });
      const posted = await postJson({
        url: rule.webhook, body, secret,
        at: Math.floor(now / 1_000), timeoutMs: limits.sinkCallTimeoutMs, signal: ending.signal,
        fields: { 'x-postern-alert': alert.rule, 'idempotency-key': `"${alert.id}"` },
      });
      if (posted.status >= 200 && posted.status < 300) return done(null);
      why = `${new URL(rule.webhook).host} answered ${posted.status}`;
      if (posted.status === 410) return { ...done(why), tries };
      if (posted.retryAfterMs !== null) pause = Math.min(posted.retryAfterMs, limits.sinkRetryMaxMs);
    } catch (thrown) {
      why = reasonOf(thrown).slice(0, 300);
    }
    if (tries >= limits.alertTriesMax || now - alert.at > limits.alertTriedForMs) {
      journal.note('feed.alert-given-up', { alert: alert.rule, id: alert.id, ...source, why });
      return { ...done(`given up: ${why}`), tries };
    }
    return { id: alert.id, tries, dueAt: Math.ceil(clock.nowMs() + pause), doneAt: null, why };
  };

  const look = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      const due = await operations.dueAlerts(clock.nowMs(), perLook);
      for (const alert of due) await tell(alert);
      for (let at = 0; at < due.length && !ending.signal.aborted; at += limits.alertsAtOnceMax) {
        const settled = await Promise.all(due.slice(at, at + limits.alertsAtOnceMax).map(deliver));
        // One that was cut by the end of the gateway is tried again under the same key.
        if (!ending.signal.aborted) await operations.settleAlerts(settled);
        for (const { id, tries, doneAt } of settled) if (tries > 0 || doneAt !== null) told.delete(id);
      }
      if (due.length < perLook) return;
    }
  };
  const run = () => {
    if (ending.signal.aborted) return;
    if (running) {
      again = true;
      return;
    }
    again = false;
    running = look()
      .catch((thrown: unknown) => log.warn('alerts.not-looked', { why: reasonOf(thrown) }))
      .finally(() => {
        running = null;
        if (again) run();
      });
  };
  timer = clock.every(lookEveryMs, run);
  run();
  return {
    wake: run,
    async close() {
      ending.abort();
      timer?.cancel();
      await running;
    },
  };
}
