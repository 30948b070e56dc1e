// Prometheus text. Everything is read from counters when somebody asks; nothing is observed on the data path.
// prom-client's metrics register themselves by being made; nothing else holds them.
/* eslint-disable no-new */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { DiskState } from '#model/keeping.ts';
import { commitMsBounds, commitSizeBounds, type IntakeCounts } from './intake-counts.ts';
import { DURATION_BOUNDS_MS, type TrafficCounts } from '#proxy/meter.ts';

export interface MetricsSource {
  readonly counts: TrafficCounts;
  links(): number;
  streams(): number;
  /** Through links; `sent` is towards devices. */
  flows(): { readonly open: number; readonly sent: number; readonly received: number; readonly dropped: number };
  visits(): number;
  linkBytes(): { readonly in: number; readonly out: number };
  upstreamsIdle(): number;
  budgetHeld(): number;
  journalDropped(): number;
  devices(): { readonly all: number; readonly online: number };
  revision(): number;
  disk(): DiskState;
  readonly intake: IntakeCounts;
  /** Batches that arrived and are not durable yet. */
  intakeWaiting(): { readonly batches: number; readonly bytes: number };
  doors(): { readonly doors: number; readonly bound: number; readonly open: number; readonly accepted: number; readonly refused: number };
  /** By retention. */
  dropped(): Readonly<Record<string, number>>;
}

export interface Metrics {
  readonly contentType: string;
  text(): Promise<string>;
}

export function buildMetrics(source: MetricsSource, version: string): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: 'postern_' });
  const gauge = (name: string, help: string, read: () => number) => new Gauge({ name: `postern_${name}`, help, registers: [registry], collect() { this.set(read()); } });
  const counter = (name: string, help: string, read: () => number) => new Counter({ name: `postern_${name}`, help, registers: [registry], collect() { this.reset(); this.inc(read()); } });
  const { counts, intake } = source;
  gauge('links', 'Links that stand now', source.links);
  gauge('streams', 'Streams open in links now', source.streams);
  gauge('doors', 'Doors in sites that there are', () => source.doors().doors);
  gauge('doors_bound', 'Doors that are open', () => source.doors().bound);
  gauge('door_conns', 'Connections through doors open now', () => source.doors().open);
  gauge('flows', 'UDP flows open in links now', () => source.flows().open);
  gauge('visits', 'Visits open now', source.visits);
  gauge('devices', 'Devices known', () => source.devices().all);
  gauge('devices_online', 'Devices whose agent has a link', () => source.devices().online);
  gauge('conns', 'Client connections open now', () => counts.connsOpen);
  gauge('upstreams_idle', 'Upstream connections waiting for their next exchange', source.upstreamsIdle);
  gauge('tunnel_held_bytes', 'Bytes held in streams', source.budgetHeld);
  gauge('config_revision', 'Revision of the configuration in force', source.revision);
  gauge('disk_free_bytes', 'Left for the data folder', () => source.disk().freeBytes ?? Number.NaN);
  gauge('disk_level', '0 ok, 1 warn, 2 low, 3 full: new visits and pushes are refused', () => ['ok', 'warn', 'low', 'full'].indexOf(source.disk().level));
  new Counter({ name: 'postern_retention_dropped_total', help: 'Dropped by retention, by kind; of records the bytes', labelNames: ['kind'], registers: [registry], collect() { this.reset(); for (const [kind, dropped] of Object.entries(source.dropped())) this.inc({ kind }, dropped); } });
  counter('door_conns_accepted_total', 'Connections accepted at doors in sites', () => source.doors().accepted);
  counter('door_conns_refused_total', 'Connections of doors that the gateway refused', () => source.doors().refused);
  counter('conns_accepted_total', 'Client connections accepted', () => counts.connsAccepted);
  counter('conns_refused_total', 'Client connections refused at their first bytes, at TLS, or by what a later packet asked for', () => counts.connsRefused);
  counter('tls_handshakes_total', 'TLS handshakes finished', () => counts.handshakesDone);
  counter('tls_handshake_failures_total', 'TLS handshakes failed', () => counts.handshakesFailed);
  counter('http_requests_total', 'Exchanges carried', () => counts.requests);
  counter('http_refusals_total', 'Requests refused by the gateway', () => counts.refusals);
  counter('http_request_body_bytes_total', 'Bytes of request bodies, of upgraded and of relayed connections towards upstreams', () => counts.bytesIn);
  counter('http_answer_body_bytes_total', 'Bytes of answer bodies, of upgraded and of relayed connections from upstreams', () => counts.bytesOut);
  counter('upstream_dials_total', 'Connections opened to upstreams', () => counts.upstreamDials);
  counter('upstream_reuses_total', 'Exchanges on a connection that was open already', () => counts.upstreamReuses);
  counter('upstream_failures_total', 'Exchanges and relayed connections that failed at the upstream', () => counts.upstreamFailures);
  counter('journal_dropped_total', 'Journal lines dropped by its bound', source.journalDropped);
  new Counter({ name: 'postern_link_bytes_total', help: 'Bytes in links, by direction seen from the gateway', labelNames: ['direction'], registers: [registry], collect() { const bytes = source.linkBytes(); this.reset(); this.inc({ direction: 'in' }, bytes.in); this.inc({ direction: 'out' }, bytes.out); } });
  counter('flow_datagrams_dropped_total', 'Datagrams towards devices that were dropped: too old, no room, too long', () => source.flows().dropped);
  new Counter({ name: 'postern_flow_datagrams_total', help: 'Datagrams in links, by direction seen from the gateway', labelNames: ['direction'], registers: [registry], collect() { const { received, sent } = source.flows(); this.reset(); this.inc({ direction: 'in' }, received); this.inc({ direction: 'out' }, sent); } });
  new Counter({ name: 'postern_http_answers_total', help: 'Answers, by class of status', labelNames: ['class'], registers: [registry], collect() { this.reset(); for (let i = 1; i <= 5; i++) this.inc({ class: `${i}xx` }, counts.answers[i]!); } });
  new Gauge({ name: 'postern_build_info', help: 'Always 1; the version is a label', labelNames: ['version', 'runtime'], registers: [registry], collect() { this.set({ version, runtime: process.version }, 1); } });
  counter('intake_batches_total', 'Batches of devices that were stored', () => intake.batches);
  counter('intake_records_total', 'Records that ended in them', () => intake.records);
  counter('intake_bytes_total', 'Bytes in them', () => intake.bytes);
  counter('intake_repeats_total', 'Batches that came once more, in whole or in part: answered, and not stored again', () => intake.repeats);
  counter('intake_gaps_total', 'Batches with which devices declared bytes lost', () => intake.gaps);
  counter('intake_conflicts_total', 'Batches with other bytes than those stored at their offset', () => intake.conflicts);
  new Counter({ name: 'postern_intake_refused_total', help: 'Requests of devices that were refused, by code', labelNames: ['code'], registers: [registry], collect() { this.reset(); for (const [code, refused] of Object.entries(intake.refused)) this.inc({ code }, refused); } });
  gauge('intake_waiting_batches', 'Batches that arrived and are not durable yet', () => source.intakeWaiting().batches);
  gauge('intake_waiting_bytes', 'Bytes in them', () => source.intakeWaiting().bytes);
  const commits = () => {
    const { sizes, times, batches, ms } = intake.commits;
    return histogram('postern_intake_commit_batches', 'Batches that became durable together', commitSizeBounds, sizes, batches) + histogram('postern_intake_commit_seconds', 'From taking batches together until they are durable', commitMsBounds.map((bound) => bound / 1_000), times, ms / 1_000);
  };
  // A histogram of ours, because prom-client's would have to be observed per exchange.
  const durations = () => histogram('postern_http_duration_seconds', 'From a request head to the end of its answer', DURATION_BOUNDS_MS.map((bound) => bound / 1000), counts.durationCounts, counts.durationSumMs / 1000);
  return { contentType: registry.contentType, text: async () => `${await registry.metrics()}\n${durations()}${commits()}` };
}

/** `counted` has one more than `bounds`: what is above them. */
function histogram(name: string, help: string, bounds: readonly number[], counted: ArrayLike<number>, total: number): string {
  let sum = 0;
  let lines = `# HELP ${name} ${help}\n# TYPE ${name} histogram\n`;
  bounds.forEach((bound, i) => {
    sum += counted[i]!;
    lines += `${name}_bucket{le="${bound}"} ${sum}\n`;
  });
  sum += counted[bounds.length]!;
  return `${lines}${name}_bucket{le="+Inf"} ${sum}\n${name}_sum ${total}\n${name}_count ${sum}\n`;
}
