// Composition of the gateway's side of data: requests of devices reach the acts of the room `fleet`, what happens there reaches
// journal, tables and metrics.
import type { Clock } from '#base/clock.ts';
import { reasonOf, type Fault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { printable, type Log } from '#base/log.ts';
import { buildAuthenticate } from '#fleet/authenticate.ts';
import { buildIntake } from '#fleet/intake.ts';
import { buildPush, type Pushed } from '#fleet/push.ts';
import type { Before, RawRequest } from '#fleet/requests.ts';
import { buildServeDevices, type ActEntry } from '#fleet/serve.ts';
import { sealingKeyBytes, sealingKeyFile } from '#model/device-keys.ts';
import { feedSettingsOf, strangersOf } from '#model/feed-rules.ts';
import type { Journal } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import type { Snapshot } from '#model/snapshot.ts';
import type { Tables } from '#model/tables.ts';
import { buildThrottle } from '#model/throttle.ts';
import { buildWaitingDevices } from '#model/waiting-devices.ts';
import type { Exchange } from '#proxy/exchange.ts';
import { bodyOf } from '#proxy/exchange-body.ts';
import { fieldOf } from '#wire/http1-fields.ts';

export interface FleetOptions {
  readonly tables: Tables;
  readonly operations: Operations;
  readonly clock: Clock;
  readonly log: Log;
  readonly journal: Journal;
  readonly limits: Limits;
  readonly random: Random;
  readonly newId: () => Id;
  readonly snapshot: () => Snapshot;
  readonly files: { readOrMake(name: string, make: () => Buffer): Promise<Buffer> };
  readonly mayStore: () => Fault | null;
  /** Further acts, by their part of the path. */
  readonly acts: Readonly<Record<string, ActEntry | undefined>>;
  readonly before: Before;
  readonly baseOf: (request: { readonly customer: { readonly key: string } }, sealedTo: string | null) => string | null;
  readonly onPushed?: (pushed: Pushed) => void;
}

export interface Fleet {
  answerDevice(exchange: Exchange): void;
  /** One request over a link of this agent. */
  serve(raw: RawRequest): ReturnType<ReturnType<typeof buildServeDevices>>;
  readonly counts: FleetCounts;
  readonly waiting: () => { readonly batches: number; readonly bytes: number };
  close(): Promise<void>;
}

export interface FleetCounts {
  batches: number;
  records: number;
  bytes: number;
  repeats: number;
  gaps: number;
  conflicts: number;
  refused: number;
}

export async function openFleet(options: FleetOptions): Promise<Fleet> {
  const { tables, operations, clock, log, journal, limits, random, newId } = options;
  const nowMs = () => clock.nowMs();
  const sealingKey = await options.files.readOrMake(sealingKeyFile, () => random(sealingKeyBytes));
  const counts: FleetCounts = { batches: 0, records: 0, bytes: 0, repeats: 0, gaps: 0, conflicts: 0, refused: 0 };
  const intake = buildIntake({ operations, limits, mayStore: options.mayStore });
  const config = () => options.snapshot().config;

  const onPushed = (pushed: Pushed) => {
    const { request, caller, feed, epoch, bytes, outcome } = pushed;
    const about = { customer: request.customer.key, serial: printable(request.serial, 128), feed, epoch, from: request.from };
    if (outcome.kind === 'stored') {
      counts.batches += 1;
      counts.records += outcome.records;
      counts.bytes += bytes;
      if (outcome.repeat) counts.repeats += 1;
      if (outcome.lost > 0) {
        counts.gaps += 1;
        journal.note('feed.lost', { ...about, bytes: outcome.lost, why: 'the device says that these bytes are lost' });
      }
      if (outcome.madeGood) journal.note('feed.made-good', { ...about, next: outcome.next });
    } else if (outcome.kind === 'gap') {
      // An offset above ours was once confirmed: this gateway has less than it had.
      if (outcome.first) journal.note('feed.behind', { ...about, next: outcome.next, why: 'the device is ahead: was the store restored from an older backup?' });
    } else {
      counts.refused += 1;
      if (outcome.kind === 'conflict') {
        counts.conflicts += 1;
        journal.note('feed.conflict', { ...about, next: outcome.next, why: 'other bytes are stored at this offset' });
      }
    }
    if (caller.kind === 'waiting' && outcome.kind === 'stored') {
      const row = tables.waitingDevices.get(caller.waiting.id);
      // The store has counted it exactly; this is what is shown until the next start.
      if (row && !outcome.repeat) tables.waitingDevices.publish({ put: [{ ...row, bytes: row.bytes + bytes }] });
    }
    options.onPushed?.(pushed);
  };

  const serve = buildServeDevices({
    limits, nowMs,
    customerByKey: (key) => tables.customerByKey(key),
    authenticate: buildAuthenticate({
      tables, limits, nowMs, sealingKey,
      waiting: buildWaitingDevices({ tables, operations, clock, limits, journal, newId, random, sealingKey }),
      throttle: buildThrottle(clock),
      strangersOf: (customer) => strangersOf(config(), customer),
      onKeyUsed: (change) => {
        // At once for whoever asks next; durable a moment later, and nothing is lost when it is not.
        tables.deviceKeys.publish(change);
        operations.changeDeviceKeys(change, null).catch((thrown: unknown) => log.warn('device-key.not-noted', { why: reasonOf(thrown) }));
      },
    }),
    before: options.before,
    acts: {
      push: {
        readsBody: true,
        act: buildPush({ intake, operations, limits, nowMs, newId, settingsOf: (customer, serial, feed) => feedSettingsOf(config(), customer, serial, feed), onPushed, baseOf: options.baseOf }),
      },
      ...options.acts,
    },
    onAnswered: (request, _caller, status, code, why) => {
      if (status < 400 || code === 'gap' || code === 'sealed' || code === 'busy') return;
      journal.note('device.refused', { conn: request.connId, request: request.requestId, from: request.from, method: request.method, path: printable(request.target.split('?', 1)[0]!, 200), status, code, why: printable(why, 200) });
    },
    onBroken: (thrown) => log.error('device.broken', { why: reasonOf(thrown), stack: thrown instanceof Error ? thrown.stack : undefined }),
  });

  return {
    counts,
    waiting: () => ({ batches: intake.waiting, bytes: intake.waitingBytes }),
    serve,
    answerDevice(exchange) {
      const raw = rawOf(exchange, limits);
      // serve answers whatever happens.
      void serve(raw).then(({ status, fields, body }) => exchange.respond(status, fields.map(([name, value]) => `${name}: ${value}\r\n`).join(''), body));
    },
    close: () => intake.close(),
  };
}

function rawOf(exchange: Exchange, limits: Limits): RawRequest {
  const { conn, head, requestId } = exchange;
  const body = bodyOf(exchange, limits);
  return {
    method: head.method,
    target: head.target,
    header: (name) => fieldOf(head.fields, name) ?? null,
    from: conn.from,
    secure: conn.facts.secure,
    http10: head.minorVersion === 0,
    connId: conn.id,
    requestId,
    certificate: conn.peerCertificate,
    agentId: null,
    body: (max) => body.whole(max),
    pieces: () => body.pieces(),
    interim: body.interim,
  };
}
