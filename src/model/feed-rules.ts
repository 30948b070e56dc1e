// What the configuration says of a feed and of strangers: the first entry that fits. Pure; one lookup for intake, check-in,
// retention and the console.
import { isFault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { parseFormat } from '#wire/records.ts';
import type { Config, ConfigFeedRule, ConfigProblem, ConfigStrangers } from './config.ts';
import type { AlertRule } from './intake.ts';
import { compileParser } from './parsers/compile.ts';
import { compilePattern, matchesGlob } from './pattern.ts';

export interface FeedSettings {
  /** The entry that fits; null: none does. */
  readonly rule: ConfigFeedRule | null;
  /** When the device does not say. */
  readonly format: string;
  readonly alerts: readonly AlertRule[];
}

const none: FeedSettings = { rule: null, format: 'lines', alerts: [] };
const made = new WeakMap<ConfigFeedRule, FeedSettings>();

export function feedSettingsOf(config: Pick<Config, 'feeds'>, customer: string, serial: string, feed: string): FeedSettings {
  for (const rule of config.feeds ?? []) {
    if (rule.customer !== undefined && rule.customer !== customer) continue;
    if (!matchesGlob(rule.feeds, feed) || (rule.devices !== undefined && !matchesGlob(rule.devices, serial))) continue;
    let settings = made.get(rule);
    if (!settings) made.set(rule, (settings = { rule, format: rule.format ?? 'lines', alerts: rule.alerts.map(({ name, pattern }) => ({ rule: name, pattern })) }));
    return settings;
  }
  return none;
}

const refused: Pick<ConfigStrangers, 'policy' | 'quarantineBytes' | 'keyless'> = { policy: 'wait', quarantineBytes: limits.quarantineBytes, keyless: false };

/** A customer's own entry, else the one for all; without any, strangers wait and bring nothing. */
export function strangersOf(config: Pick<Config, 'strangers'>, customer: string): Pick<ConfigStrangers, 'policy' | 'quarantineBytes' | 'keyless'> {
  const entries = config.strangers ?? [];
  return entries.find((each) => each.customer === customer) ?? entries.find((each) => each.customer === undefined) ?? refused;
}

/** What the shapes do not say. */
export function checkFeedRules(config: Pick<Config, 'feeds' | 'strangers'>, problems: ConfigProblem[]): void {
  const check = (path: string, pattern: string) => {
    try {
      compilePattern(pattern);
    } catch (thrown) {
      if (!isFault(thrown)) throw thrown;
      problems.push({ path, message: thrown.message });
    }
  };
  const names = new Map<string, string>();
  for (const [i, rule] of (config.feeds ?? []).entries()) {
    if (rule.format !== undefined && parseFormat(rule.format) === null) problems.push({ path: `feeds[${i}].format`, message: 'is no format: fixed:N takes 1 to 65536' });
    if (rule.prio !== undefined) check(`feeds[${i}].prio`, rule.prio);
    for (const [j, alert] of rule.alerts.entries()) {
      check(`feeds[${i}].alerts[${j}].pattern`, alert.pattern);
      const before = names.get(alert.name);
      if (before !== undefined) problems.push({ path: `feeds[${i}].alerts[${j}].name`, message: `"${alert.name}" is also the name of ${before}` });
      names.set(alert.name, `feeds[${i}].alerts[${j}]`);
    }
  }
  const seen = new Map<string, number>();
  for (const [i, { customer = '' }] of (config.strangers ?? []).entries()) {
    const before = seen.get(customer);
    if (before !== undefined) problems.push({ path: `strangers[${i}].customer`, message: `strangers[${before}] is about the same customer` });
    seen.set(customer, i);
  }
}

/** What the shapes of sinks do not say. */
export function checkSinks({ sinks = [] }: Pick<Config, 'sinks'>, problems: ConfigProblem[]): void {
  const names = new Map<string, number>();
  for (const [i, { name, parser }] of sinks.entries()) {
    const before = names.get(name);
    if (before !== undefined) problems.push({ path: `sinks[${i}].name`, message: `sinks[${before}] has the same name` });
    names.set(name, i);
    if (!parser) continue;
    try {
      compileParser(parser);
    } catch (thrown) {
      problems.push({ path: `sinks[${i}].parser`, message: reasonOf(thrown) });
    }
  }
}
