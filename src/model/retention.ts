// How long what grows is kept: the configuration's words, what stands where it says nothing, and which bytes of a feed are too many.
import type { Limits } from '#base/limits.ts';
import type { ConfigFeedRule, ConfigRetention } from './config.ts';
import type { KeepBounds, KeptKind } from './keeping.ts';
import { matchesGlob } from './pattern.ts';

/** Bounds of each kind; those of records are for a feed that no rule says more about. */
export function boundsOf(config: ConfigRetention = {}, limits: Pick<Limits, 'journalLinesMax' | 'visitsKeptMax' | 'auditKeptDays' | 'auditKeptBytes' | 'visitsKeptDays' | 'alertsKeptDays' | 'intakeKeysKeptDays' | 'gapsKeptDays' | 'samplesKeptDays'>): Readonly<Record<KeptKind, KeepBounds>> {
  const bounds = (days: number | null = null, count: number | null = null, bytes: number | null = null): KeepBounds => ({ days, count, bytes });
  return {
    journal: bounds(config.journalDays, Math.min(config.journalLines ?? limits.journalLinesMax, limits.journalLinesMax)),
    audit: bounds(config.auditDays ?? limits.auditKeptDays, null, config.auditBytes ?? limits.auditKeptBytes),
    visits: bounds(config.visitsDays ?? limits.visitsKeptDays, Math.min(config.visitsMax ?? limits.visitsKeptMax, limits.visitsKeptMax)),
    // Nobody's data goes because nobody said how long to keep it: a full disk refuses instead.
    records: bounds(config.recordsDays, null, config.recordsBytes),
    gaps: bounds(limits.gapsKeptDays),
    alerts: bounds(limits.alertsKeptDays),
    keys: bounds(limits.intakeKeysKeptDays),
    files: bounds(config.filesDays, null, config.filesBytes),
    samples: bounds(config.samplesDays ?? limits.samplesKeptDays),
    recordings: bounds(config.recordingsDays, null, config.recordingsBytes),
  };
}

export interface NamedFeed {
  readonly name: string;
  readonly serial: string;
  /** Of its customer. */
  readonly customerKey: string;
}

/** Whether a part of the configuration that names feeds, devices and a customer means this one. */
export function meansFeed(rule: { readonly feeds: string; readonly devices?: string | undefined; readonly customer?: string | undefined }, feed: NamedFeed): boolean {
  return matchesGlob(rule.feeds, feed.name) && (rule.devices === undefined || matchesGlob(rule.devices, feed.serial)) && (rule.customer === undefined || rule.customer === feed.customerKey);
}

/** The first rule that means the feed, then what holds for all. */
export function boundsOfFeed(rules: readonly ConfigFeedRule[], all: KeepBounds, feed: NamedFeed): KeepBounds {
  const rule = rules.find((each) => meansFeed(each, feed));
  return { days: rule?.keepDays ?? all.days, count: null, bytes: rule?.keepBytes ?? all.bytes };
}

/** What one feed keeps in one epoch. */
export interface KeptEpoch {
  readonly number: number;
  readonly first: number;
  readonly next: number;
  /** Within, by gaps. */
  readonly lostBytes: number;
}

/** Below which offset of an epoch bytes are too many, when those of later epochs are `newerBytes` already; 0: none is. */
export function tooManyBelow(epoch: KeptEpoch, newerBytes: number, bytesMax: number): number {
  const room = bytesMax - newerBytes;
  const kept = bytesKept(epoch);
  if (kept <= room) return 0;
  return room <= 0 ? epoch.next : Math.max(epoch.first, epoch.next - room);
}

export const bytesKept = ({ first, next, lostBytes }: KeptEpoch): number => Math.max(0, next - first - lostBytes);

/** A clock that was set forward makes everything old: by so much, it is not believed for a day. */
export const clockJumpMs = 3_600_000;
