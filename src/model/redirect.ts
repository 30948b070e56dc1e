// Which server a device's data belongs to: the rules of the configuration, compiled, and the decision. Ordered, the first match wins.
// Everything that changes by itself (leases, counters, what devices said) is handed in, so that a preview and the real thing are the same.
import { limits } from '#base/limits.ts';
import { buildNetworkSet, isInNetworks } from '#base/networks.ts';
import type { Config, ConfigProblem, ConfigRedirect, ConfigServer } from './config.ts';
import { matchesGlob } from './pattern.ts';
import { chooseServer, type Turns } from './redirect-choice.ts';
import { parseSerialSet } from './serials.ts';

/** At so many a device is answered by whom it asks (docs/wire/device.md §4). */
export const hopsMax = limits.redirectHopsMax;
/** In a rule's list of servers: this very gateway. */
export const here = 'here';

export type Strategy = ConfigRedirect['strategy'];
/** no · new: no device is sent there any more, those that are there stay until their lease ends · now: they leave at their next request. */
export type Drain = ConfigServer['drain'];

export interface RedirectServer {
  readonly name: string;
  /** Without a slash at its end; where it ends in `/v1`, the customer's key follows. null: this gateway. */
  readonly base: string | null;
  readonly secure: boolean;
  readonly pins: readonly string[];
  readonly weight: number;
  readonly drain: Drain;
}

export interface Condition {
  /** The field of the configuration. */
  readonly field: string;
  /** As a sentence of what was wanted. */
  readonly wanted: string;
  /** What it says depends on the device alone, not on the request. */
  readonly ofDevice: boolean;
  holds(facts: RedirectFacts): boolean;
  /** What is there instead. */
  found(facts: RedirectFacts): string;
}

export interface RedirectRule {
  readonly name: string;
  readonly conditions: readonly Condition[];
  readonly strategy: Strategy;
  /** In order; none for `stay`. */
  readonly servers: readonly RedirectServer[];
  readonly ttlMs: number;
  readonly status: 307 | 308;
}

export interface Redirects {
  readonly servers: ReadonlyMap<string, RedirectServer>;
  readonly rules: readonly RedirectRule[];
}

/** What is known of a device and of what it asks. */
export interface RedirectFacts {
  /** The customer's key. */
  readonly customer: string;
  readonly suspended: boolean;
  readonly serial: string;
  readonly deviceName: string;
  readonly tags: readonly string[];
  /** The name that it dialled, without port, lower case; '' unknown. */
  readonly host: string;
  /** Behind the customer, without the query: `push/SN1/cdr/…`. */
  readonly path: string;
  readonly from: string;
  /** How often it was sent on already. */
  readonly hops: number;
  /** What it proved itself by. */
  readonly by: 'key' | 'sign' | 'certificate' | 'agent' | 'nothing';
  /** Over TLS, or over a link. */
  readonly secure: boolean;
  /** The fingerprints on its list, as it last said; empty: it does not pin. */
  readonly pins: readonly string[];
}

export interface Lease {
  readonly server: string;
  readonly rule: string;
  /** Milliseconds since 1970. */
  readonly until: number;
}

/** What changes by itself, as of now. */
export interface RedirectState {
  readonly nowMs: number;
  /** This device's; also one that has ended. */
  readonly lease: Lease | undefined;
  /** Standing leases at a server. */
  leasesAt(server: string): number;
  /** The counters of a rule's strategy. */
  turnsOf(rule: string): Turns | undefined;
  /** The device said that it could not deliver there, and that is not long ago. */
  hasFailed(server: string): boolean;
}

export type StayWhy =
  | 'no-rule' // none matches
  | 'hops' // it was sent on too often
  | 'rule' // a rule says so
  | 'here' // this gateway was chosen among others
  | 'no-server' // all are drained, or the device cannot reach them
  | 'pin' // it has not confirmed the server's fingerprint
  | 'disbelief' // it would not believe the redirect
  | 'key'; // its key would be read on the way

export type RedirectDecision =
  | {
      readonly kind: 'stay';
      readonly why: StayWhy;
      readonly text: string;
      readonly rule: RedirectRule | null;
      readonly server: RedirectServer | null;
      /** New, because this gateway was chosen among others. */
      readonly lease: Lease | null;
      readonly turns: Turns | null;
    }
  | {
      readonly kind: 'send';
      readonly text: string;
      readonly rule: RedirectRule;
      readonly server: RedirectServer;
      readonly base: string;
      readonly lease: Lease;
      /** It had that lease already. */
      readonly isHeld: boolean;
      readonly turns: Turns | null;
    };

/** The server's base for a customer; '' for this gateway. */
export const baseFor = ({ base }: Pick<RedirectServer, 'base'>, customer: string): string => (base === null ? '' : base.endsWith('/v1') ? `${base}/${customer}` : base);

const ruleOf = (redirects: Redirects, facts: RedirectFacts): RedirectRule | null =>
  redirects.rules.find((rule) => rule.conditions.every((each) => each.holds(facts))) ?? null;

/** Never throws; what it answers is to be carried out: lease and turns are to be kept where they are not null. */
export function decideRedirect(redirects: Redirects, facts: RedirectFacts, state: RedirectState): RedirectDecision {
  const stay = (why: StayWhy, text: string, rule: RedirectRule | null = null, server: RedirectServer | null = null) =>
    ({ kind: 'stay', why, text, rule, server, lease: null, turns: null }) as const;
  if (redirects.rules.length === 0) return stay('no-rule', 'there are no rules');
  if (facts.hops >= hopsMax) return stay('hops', `it was sent on ${facts.hops} times already; whom it asks then answers`);
  const rule = ruleOf(redirects, facts);
  if (rule === null) return stay('no-rule', 'no rule matches');
  if (rule.strategy === 'stay') return stay('rule', `rule "${rule.name}" keeps it here`, rule);
  const chosen = choose(rule, facts, state);
  if (chosen === null) return stay('no-server', `rule "${rule.name}" has no server for it: ${rule.servers.map((each) => `${each.name} ${whyNot(each, state)}`).join(', ')}`, rule);
  const { server, lease, isHeld, turns } = chosen;
  const how = isHeld ? `its lease there lasts for another ${Math.ceil((lease.until - state.nowMs) / 1000)} s` : `chosen anew: ${chosen.text}`;
  if (server.base === null) return { kind: 'stay', why: 'here', text: `rule "${rule.name}" leads here; ${how}`, rule, server, lease: isHeld ? null : lease, turns };
  const objection = objectionTo(server, facts);
  if (objection !== null) return stay(objection.why, objection.text, rule, server);
  return { kind: 'send', text: `rule "${rule.name}" leads to ${server.name}; ${how}`, rule, server, base: baseFor(server, facts.customer), lease, isHeld, turns };
}

function whyNot({ name, drain }: RedirectServer, state: RedirectState): string {
  if (drain === 'now') return 'is drained';
  if (state.hasFailed(name)) return 'could not be reached by it';
  return drain === 'new' ? 'takes no new devices' : 'has weight 0';
}

function choose(rule: RedirectRule, facts: RedirectFacts, state: RedirectState) {
  const { lease } = state;
  const usable = rule.servers.filter((each) => each.drain !== 'now' && !state.hasFailed(each.name));
  if (lease !== undefined && lease.until > state.nowMs) {
    // The rule may be another by now: where a device is counts as long as its rule would send it there.
    const server = usable.find((each) => each.name === lease.server);
    if (server) return { server, lease, isHeld: true, turns: null, text: '' };
  }
  const open = usable.filter((each) => each.drain === 'no');
  const choice = chooseServer(rule.strategy, rule.servers, open, { key: `${facts.customer}/${facts.serial}`, leasesAt: state.leasesAt, turns: state.turnsOf(rule.name) });
  if (choice === null) return null;
  const server = rule.servers.find((each) => each.name === choice.name)!;
  return { server, lease: { server: server.name, rule: rule.name, until: state.nowMs + rule.ttlMs }, isHeld: false, turns: choice.turns, text: choice.text };
}

/** Why a device would not get there, so that it is not even asked to. */
function objectionTo(server: RedirectServer, facts: RedirectFacts): { why: StayWhy; text: string } | null {
  const isListed = server.secure && server.pins.some((pin) => facts.pins.includes(pin));
  if (server.secure && facts.pins.length > 0 && !isListed) {
    if (server.pins.length === 0) return { why: 'pin', text: `it pins, and server "${server.name}" has no pins in the configuration` };
    return { why: 'pin', text: `it has not confirmed a pin of server "${server.name}" yet: the list goes out with its next check-in` };
  }
  if (!server.secure && facts.by === 'key') return { why: 'key', text: `server "${server.name}" is plain http, and this device shows its key: everybody on the way would read it` };
  if (!facts.secure && facts.by !== 'sign' && !isListed) {
    return { why: 'disbelief', text: 'over plain http without a signature it may only be sent to an https server whose fingerprint is on its list' };
  }
  return null;
}

/** The fingerprints that a device has to know before it may be sent: of every server of every rule that may come to match it. */
export function pinsOfTargets(redirects: Redirects, facts: RedirectFacts): string[] {
  const rules = redirects.rules.filter((rule) => rule.conditions.every((each) => !each.ofDevice || each.holds(facts)));
  return [...new Set(rules.flatMap((rule) => rule.servers.flatMap((server) => server.pins)))];
}

export interface RuleSeen {
  readonly rule: string;
  /** taken: this one decides · behind: it comes after the one that does · not: this condition fails. */
  readonly state: 'taken' | 'behind' | 'not';
  readonly why: string | null;
}

/** Each rule with the first condition that fails. */
export function explainRules(redirects: Redirects, facts: RedirectFacts): RuleSeen[] {
  const taken = ruleOf(redirects, facts);
  return redirects.rules.map((rule) => {
    if (rule === taken) return { rule: rule.name, state: 'taken', why: null };
    const failed = rule.conditions.find((each) => !each.holds(facts));
    if (failed) return { rule: rule.name, state: 'not', why: `${failed.field}: ${failed.wanted}, not ${failed.found(facts)}` };
    return { rule: rule.name, state: 'behind', why: `"${taken!.name}" comes first` };
  });
}

// --- compiling

export type RedirectConfig = Pick<Config, 'servers' | 'redirects' | 'domains' | 'listeners'>;
type Say = (path: string, message: string) => void;

/** Every problem with its path. */
export function compileRedirects(config: RedirectConfig, problems: ConfigProblem[]): Redirects {
  const say: Say = (path, message) => void problems.push({ path, message });
  const servers = compileServers(config, say);
  const names = new Map<string, number>();
  let everything: string | null = null;
  const rules = (config.redirects ?? []).map((rule, i) => {
    const at = `redirects[${i}]`;
    const before = names.get(rule.name);
    if (before !== undefined) say(`${at}.name`, `"${rule.name}" is also the name of redirects[${before}]`);
    names.set(rule.name, i);
    if (everything !== null) say(at, `is never reached: "${everything}" before it has no condition and matches every device`);
    const compiled = compileRule(rule, at, servers, say);
    if (compiled.conditions.length === 0) everything ??= rule.name;
    return compiled;
  });
  return { servers, rules };
}

const hereServer: RedirectServer = { name: here, base: null, secure: true, pins: [], weight: 1, drain: 'no' };

function compileRule(rule: ConfigRedirect, at: string, servers: ReadonlyMap<string, RedirectServer>, say: Say): RedirectRule {
  const found: RedirectServer[] = [];
  if (rule.strategy === 'stay' && rule.servers.length > 0) say(`${at}.servers`, 'a rule that keeps devices here has no servers');
  if (rule.strategy !== 'stay' && rule.servers.length === 0) say(`${at}.servers`, 'names no server; for a rule that keeps devices here the strategy is "stay"');
  rule.servers.forEach((name, i) => {
    const server = name === here ? hereServer : servers.get(name);
    if (server === undefined) say(`${at}.servers[${i}]`, `there is no server "${name}"`);
    else if (found.includes(server)) say(`${at}.servers[${i}]`, `"${name}" is there twice`);
    else found.push(server);
  });
  if (rule.servers.length === 1 && rule.servers[0] === here) say(`${at}.servers`, 'for a rule that keeps devices here the strategy is "stay"');
  if (rule.strategy !== 'first' && found.length > 0 && found.every((server) => server.weight === 0)) say(`${at}.servers`, 'all of them have weight 0');
  return { name: rule.name, conditions: conditionsOf(rule, at, say), strategy: rule.strategy, servers: found, ttlMs: rule.ttlSeconds * 1000, status: rule.status };
}

function conditionsOf(rule: ConfigRedirect, at: string, say: Say): Condition[] {
  const all: Condition[] = [];
  const ofDevice = (field: string, wanted: string, holds: Condition['holds'], found: Condition['found']) => void all.push({ field, wanted, ofDevice: true, holds, found });
  const ofRequest = (field: string, wanted: string, holds: Condition['holds'], found: Condition['found']) => void all.push({ field, wanted, ofDevice: false, holds, found });
  const { customer, suspended, tag, deviceName, host, path, from } = rule;
  if (customer !== undefined) ofDevice('customer', `is for "${customer}"`, (facts) => facts.customer === customer, (facts) => `"${facts.customer}"`);
  if (rule.serials !== undefined) {
    const sets = rule.serials.flatMap((text, i) => {
      const set = parseSerialSet(text);
      if (typeof set !== 'string') return [set];
      say(`${at}.serials[${i}]`, set);
      return [];
    });
    ofDevice('serials', `are ${rule.serials.join(', ')}`, (facts) => sets.some((set) => set.has(facts.serial)), (facts) => `"${facts.serial}"`);
  }
  if (deviceName !== undefined) ofDevice('deviceName', `is ${deviceName}`, (facts) => matchesGlob(deviceName, facts.deviceName), (facts) => `"${facts.deviceName}"`);
  if (tag !== undefined) {
    const found = ({ tags }: RedirectFacts) => (tags.length === 0 ? 'there: the device has no tags' : `among ${tags.join(', ')}`);
    ofDevice('tag', `is "${tag}"`, (facts) => facts.tags.includes(tag), found);
  }
  if (suspended !== undefined) {
    const wanted = suspended ? 'is for suspended customers' : 'is for customers that are not suspended';
    ofDevice('suspended', wanted, (facts) => facts.suspended === suspended, (facts) => (facts.suspended ? 'for a suspended one' : 'for this one'));
  }
  if (host !== undefined) {
    const below = host.startsWith('*.') ? host.slice(1) : null;
    ofRequest('host', `is ${host}`, (facts) => facts.host === host || (below !== null && facts.host.endsWith(below)), (facts) => (facts.host === '' ? 'known' : facts.host));
  }
  if (path !== undefined) {
    ofRequest('path', `begins with ${path}`, (facts) => facts.path === path || facts.path.startsWith(`${path}/`), (facts) => (facts.path === '' ? 'known' : `like ${facts.path}`));
  }
  if (from !== undefined) {
    const networks = buildNetworkSet(from);
    ofRequest('from', `is in ${from.join(', ')}`, (facts) => isInNetworks(networks, facts.from), (facts) => (facts.from === '' ? 'known' : facts.from));
  }
  return all;
}

function compileServers(config: RedirectConfig, say: Say): Map<string, RedirectServer> {
  const servers = new Map<string, RedirectServer>();
  const bases = new Map<string, string>();
  (config.servers ?? []).forEach((server, i) => {
    const at = `servers[${i}]`;
    if (server.name === here) say(`${at}.name`, `"${here}" stands for this gateway in the rules; choose another name`);
    else if (servers.has(server.name)) say(`${at}.name`, `"${server.name}" is the name of another server`);
    const base = readBase(server.base);
    if ('wrong' in base) return say(`${at}.base`, base.wrong);
    const twin = bases.get(base.text);
    if (twin !== undefined) say(`${at}.base`, `is the base of "${twin}", too`);
    bases.set(base.text, server.name);
    if (isOurs(base.url, config)) say(`${at}.base`, `leads back to this gateway; in a rule's servers "${here}" stands for it`);
    const secure = base.url.protocol === 'https:';
    if (!secure && server.pins.length > 0) say(`${at}.pins`, 'plain http shows no fingerprint; use an https base, or leave the pins out');
    servers.set(server.name, { name: server.name, base: base.text, secure, pins: server.pins, weight: server.weight, drain: server.drain });
  });
  return servers;
}

/** As devices and servers compare it: lower case, without a standard port, without a slash at its end. */
function readBase(text: string): { text: string; url: URL } | { wrong: string } {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return { wrong: 'is not an address like https://in2.example.test/v1' };
  }
  if (url.username !== '' || url.password !== '') return { wrong: 'has no user and no password in it' };
  // `;` ends a base where devices name it (X-Postern-Start).
  if (text.includes(';')) return { wrong: 'has no ";"' };
  return { text: `${url.protocol}//${url.host}${url.pathname.replace(/\/$/, '')}`, url };
}

/** By our own names: where ports are mapped, an address cannot tell. The loop that this does not see ends by its hops. */
function isOurs(url: URL, { domains, listeners }: RedirectConfig): boolean {
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  return domains.some((domain) => domain.name === url.hostname) && (url.port === '' || listeners.some((listener) => listener.port === port));
}
