// Composition of the gateway's side of data: requests of devices reach the acts of the room `fleet`, what happens there reaches
// journal, tables and metrics.
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { reasonOf, type Fault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import { printable, type Log } from '#base/log.ts';
import { buildAuthenticate } from '#fleet/authenticate.ts';
import { buildAction, buildCheckIn } from '#fleet/check-in.ts';
import { keepDeviceNotes, type DeviceNotes } from '#fleet/device-notes.ts';
import { buildFile } from '#fleet/file.ts';
import { openFiles, type Files } from '#fleet/files.ts';
import { buildIntake } from '#fleet/intake.ts';
import { buildKeyedIntake, type TakenIn } from '#fleet/keyed-intake.ts';
import { buildPush, type Pushed } from '#fleet/push.ts';
import { buildRedirects } from '#fleet/redirects.ts';
import { callerId, type RawRequest } from '#fleet/requests.ts';
import { buildServeDevices } from '#fleet/serve.ts';
import { keepUploads } from '#fleet/uploads.ts';
import { sealingKeyBytes, sealingKeyFile } from '#model/device-keys.ts';
import { buildFeedMeter, newsOf, type FeedRates } from '#model/feed-meter.ts';
import { feedSettingsOf, strangersOf } from '#model/feed-rules.ts';
import { buildLeases, type Leases } from '#model/leases.ts';
import type { Journal } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import type { Snapshot } from '#model/snapshot.ts';
import type { Tables } from '#model/tables.ts';
import { buildThrottle } from '#model/throttle.ts';
import { buildWaitingDevices } from '#model/waiting-devices.ts';
import { countedAs } from '#net/conn.ts';
import type { Exchange } from '#proxy/exchange.ts';
import { bodyOf, type ExchangeBody, newBodyBudget } from '#proxy/exchange-body.ts';
import type { DataFolder } from '#store/data-folder.ts';
import { fieldOf } from '#wire/http1-fields.ts';
import { openFleetLink } from './fleet-link.ts';
import { countCommit, countRefusal, newIntakeCounts, type IntakeCounts } from './intake-counts.ts';

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
  readonly newRequestId: () => string;
  readonly folder: Pick<DataFolder, 'path' | 'readOrMake'>;
  readonly mayStore: () => Fault | null;
  /** What a device should have on its list: this gateway's keys, those of the name that was asked first, and those of servers that it may be sent to. */
  readonly pinsFor: (host: string, servers: readonly string[]) => readonly string[];
  /** Bytes were stored; so many alerts of them were queued. */
  readonly onStored: (stored: { readonly epochNumber: number; readonly customer: string; readonly serial: string; readonly feed: string }, alerts: number) => void;
}

export interface Fleet {
  answerDevice(exchange: Exchange): void;
  /** A stream in which an agent speaks the device protocol. */
  serveLink(stream: Duplex, agentId: Id, from: string): void;
  readonly leases: Leases;
  readonly files: Files;
  readonly notes: DeviceNotes;
  readonly counts: IntakeCounts;
  readonly feeds: FeedRates;
  readonly waiting: () => { readonly batches: number; readonly bytes: number };
  close(): Promise<void>;
}

export async function openFleet(options: FleetOptions): Promise<Fleet> {
  const { tables, operations, clock, log, journal, limits, random, newId } = options;
  const nowMs = () => clock.nowMs();
  const sealingKey = await options.folder.readOrMake(sealingKeyFile, () => random(sealingKeyBytes));
  const counts = newIntakeCounts();
  const feeds = buildFeedMeter(nowMs);
  const intake = buildIntake({ operations, limits, mayStore: options.mayStore, monoMs: () => clock.monoMs(), onCommitted: (batches, ms) => countCommit(counts.commits, batches, ms) });
  const config = () => options.snapshot().config;
  const { mayStore } = options;
  const settingsOf = (customer: string, serial: string, feed: string) => feedSettingsOf(config(), customer, serial, feed);
  const notes = keepDeviceNotes({ deviceNotes: tables.deviceNotes, waitingDevices: tables.waitingDevices, devices: tables.devices, operations, clock, log });
  const leases = buildLeases({ tables, operations, clock, log, journal, limits, redirects: () => options.snapshot().redirects, pinsOf: (id) => notes.get(id)?.pins ?? [] });
  const underWay = new Map<Id, number>();
  const redirects = buildRedirects({ leases, operations, limits, nowMs, deviceBySerial: tables.deviceBySerial, pushesUnderWay: (id) => underWay.get(id) ?? 0 });
  const files = await openFiles({ dir: join(options.folder.path, 'files'), operations, clock, random, newId, log, journal, limits, mayStore, devices: tables.devices });
  const uploads = keepUploads(files);

  const notePushed = (pushed: Pushed) => {
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
    } else if (outcome.kind === 'conflict') {
      counts.conflicts += 1;
      journal.note('feed.conflict', { ...about, next: outcome.next, why: 'other bytes are stored at this offset' });
    }
    const news = newsOf(outcome);
    if (news.length > 0) feeds.note({ customerId: request.customer.id, deviceId: callerId(caller), feed, news }, bytes);
    if (caller.kind === 'device') notes.note(caller.device.id, caller.device.customerId, { lastSeenAt: nowMs(), ...(outcome.kind === 'stored' ? { lastPushAt: nowMs() } : {}), from: request.from });
    if (caller.kind === 'waiting' && outcome.kind === 'stored') {
      const row = tables.waitingDevices.get(caller.waiting.id);
      // The store has counted it exactly; this is what is shown until the next start.
      if (row && !outcome.repeat) tables.waitingDevices.publish({ put: [{ ...row, bytes: row.bytes + bytes }] });
    }
    if (outcome.kind === 'stored' && caller.kind === 'device') options.onStored({ epochNumber: outcome.epochNumber, customer: request.customer.key, serial: request.serial, feed }, outcome.alerts);
  };

  const broken = (thrown: unknown) => log.error('device.broken', { why: reasonOf(thrown), stack: thrown instanceof Error ? thrown.stack : undefined });
  /** What was stored is stored: a mistake in telling others of it must not make the device hear anything else. */
  const telling = <Stored>(tell: (stored: Stored) => void) => (stored: Stored) => {
    try {
      tell(stored);
    } catch (thrown) {
      broken(thrown);
    }
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
    before: redirects.before,
    acts: {
      push: { readsBody: true, act: buildPush({ intake, operations, limits, nowMs, settingsOf, onPushed: telling(notePushed), baseOf: redirects.baseOf, underWay }) },
      'check-in': {
        readsBody: true,
        act: buildCheckIn({
          operations, notes, nowMs, random, journal, limits,
          settings: config,
          pinsFor: (request, caller) => options.pinsFor(request.header('host') ?? '', caller.kind === 'device' ? redirects.pinsFor(caller.device, request.customer) : []),
          elsewhereFor: redirects.checkIn,
        }),
      },
      in: {
        readsBody: true,
        act: buildKeyedIntake({
          operations, limits, nowMs, newId, random, settingsOf, mayStore,
          onTakenIn: telling(({ request, device, feed, bytes, outcome }: TakenIn) => {
            if (outcome.kind !== 'stored' && outcome.kind !== 'repeat') return;
            if (outcome.kind === 'stored') {
              counts.batches += 1;
              counts.bytes += bytes;
              options.onStored({ epochNumber: outcome.epochNumber, customer: request.customer.key, serial: request.serial, feed }, outcome.alerts);
            } else counts.repeats += 1;
            feeds.note({ customerId: device.customerId, deviceId: device.id, feed, news: ['data'] }, outcome.kind === 'stored' ? bytes : 0);
            notes.note(device.id, device.customerId, { lastSeenAt: nowMs(), lastPushAt: nowMs(), from: request.from });
          }),
        }),
      },
      file: { readsBody: false, act: buildFile({ files, uploads }) },
      action: { readsBody: true, act: buildAction() },
    },
    onAnswered: (request, _caller, status, code, why) => {
      if (status >= 400) countRefusal(counts, code || 'other');
      if (status < 400 || code === 'gap' || code === 'sealed' || code === 'busy') return;
      journal.note('device.refused', { conn: request.connId, request: request.requestId, from: request.from, method: request.method, path: printable(request.target.split('?', 1)[0]!, 200), status, code, why: printable(why, 200) });
    },
    onBroken: broken,
  });

  const bodies = newBodyBudget();
  const link = openFleetLink({ serve, limits, bodies, log, newRequestId: options.newRequestId });
  return {
    counts, feeds, leases, files, notes,
    waiting: () => ({ batches: intake.waiting, bytes: intake.waitingBytes }),
    serveLink: link.serve,
    answerDevice(exchange) {
      const body = bodyOf(exchange, limits, bodies);
      const raw = rawOf(exchange, body);
      serve(raw)
        .then((answer) => exchange.respond(answer.status, answer.fields.map(([name, value]) => `${name}: ${value}\r\n`).join(''), answer.body))
        .catch((thrown: unknown) => {
          // A mistake of ours in one exchange ends that exchange, and not everybody's.
          broken(thrown);
          exchange.breakOff();
        })
        .finally(() => body.release());
    },
    async close() {
      await link.close();
      await intake.close();
      await uploads.close();
      await files.close();
      await leases.close();
      await notes.close();
    },
  };
}

function rawOf(exchange: Exchange, body: ExchangeBody): RawRequest {
  const { conn, head, requestId } = exchange;
  return {
    method: head.method,
    target: head.target,
    header: (name) => fieldOf(head.fields, name) ?? null,
    from: conn.from,
    countedAs: countedAs(conn),
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
