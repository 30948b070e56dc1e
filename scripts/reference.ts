// node scripts/reference.ts [--check]: writes docs/reference/*.md from the code, or says which of them no longer fit it.
// What a reader may look up word by word is made from its one source; the sentences around it are here.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { contract, type Shapes } from '#api/contract.ts';
import { apiRoot, type RouteName } from '#api/paths.ts';
import { statusOfCode } from '#api/problem.ts';
import { buildMetrics } from '#app/metrics.ts';
import type { FaultCode } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { newTrafficCounts } from '#proxy/meter.ts';
import { defaultStateDir } from '#bin/agent.ts';
import { commonUsage } from '#bin/arguments.ts';
import type { Command } from '#bin/io.ts';
import { configReference } from './reference-config.ts';
import { limitsReference } from './reference-limits.ts';
import { code, from, table, type JsonSchema } from './reference-page.ts';

const root = resolve(import.meta.dirname, '..');
const source = (path: string): string => readFileSync(join(root, path), 'utf8');

// --- command line

async function cliReference(): Promise<string> {
  const overview = source('src/bin/postern.ts');
  const listed = [...overview.matchAll(/^ {6}'?([a-z-]+)'?: \{ summary: '([^']+)', load: \(\) => import\('\.\/([a-z-]+)\.ts'\) \}/gm)].map((match) => ({ name: match[1]!, summary: match[2]!, file: match[3]! }));
  if (listed.length !== (overview.match(/\bload: \(\) => import\(/g)?.length ?? 0)) throw new Error('the commands in src/bin/postern.ts are written in another way than scripts/reference.ts reads them');
  const parts: string[] = [];
  for (const { name, file } of listed) {
    const { usage } = (await import(`../src/bin/${file}.ts`)) as Command;
    const text = usage.replaceAll(defaultStateDir(), 'STATE').replace(commonUsage, `\n${commonUsage.replace(/^\n/, '')}`);
    parts.push(`## postern ${name}\n\n\`\`\`text\n${text.trimEnd()}\n\`\`\`\n`);
  }
  return `# Reference: command line

${from('src/bin/*.ts')}
In a checkout the command is \`./postern\`. \`postern COMMAND --help\` prints what stands here.

${table(['command', 'does'], listed.map(({ name, summary }) => [`[${name}](#postern-${name})`, summary]))}

STATE below is \`/var/lib/postern-agent\` for root and \`~/.local/state/postern-agent\` for others (by \`XDG_STATE_HOME\` where that is set).

**Which gateway, and as whom.** In this order: \`--data DIR\` or the variable \`POSTERN_DATA\` (the operator, on the gateway's own machine);
\`POSTERN_URL\` with \`POSTERN_TOKEN\` and, for a private CA, \`POSTERN_CA_FILE\`; what \`postern login\` kept in \`~/.config/postern/profile.json\`;
\`./data\` when it is yours. The operator speaks for the oldest owner, so there is nothing to ask before the setup address has been used.
A token, and so the operator, cannot make tokens or change passwords: that takes a person who signed in.

**Exit codes.** 0 done · 1 failed · 2 wrong usage · 3 not reachable · 4 refused · 130 ended by Ctrl-C. \`postern ssh\` ends as ssh ended.

${parts.join('\n')}`;
}

// --- faults

function faultsReference(): string {
  const rows = [...source('src/base/fault.ts').matchAll(/^ {2}\| '([a-z-]+)'(?: \/\/ (.+))?;?$/gm)].map((match) => {
    const status = statusOfCode[match[1] as FaultCode];
    return [code(match[1]!), String(status), faultNotes[match[1] as FaultCode] ?? match[2] ?? ''];
  });
  if (rows.length !== Object.keys(statusOfCode).length) throw new Error('src/base/fault.ts is written in another way than scripts/reference.ts reads it');
  const proxy = ['http.ts', 'http-clients.ts', 'device-host.ts', 'serve.ts'].map((file) => source(`src/proxy/${file}`)).join('\n');
  const written = [...proxy.matchAll(/status: ([45]\d{2}), code: '([a-z-]+)'/g)].map((match) => `${match[2]} ${match[1]}`);
  // Those whose status is worked out where they are written.
  const worked = ['unknown-host 421', 'bad-input 400', 'timeout 408', 'too-large 431', 'no-route 404'].filter((each) => proxy.includes(`'${each.split(' ')[0]}'`));
  const own = said('refusals of the front door', [...written, ...worked], refusalMeanings);
  return `# Reference: faults

${from('src/base/fault.ts, src/api/problem.ts and src/proxy')}
An expected failure says what, where and what to do. Programs get a problem document (RFC 9457, \`application/problem+json\`) with \`code\`,
\`detail\` (what and where), \`remedy\` (what to do, or null) and \`requestId\`, which also stands in the journal. Browsers get the same as a small page.

## Codes of the API

${table(['code', 'status', 'means'], rows)}

## Codes of the front door

Where the gateway answers instead of a device or server, some refusals have words of their own:

${table(['code', 'status', 'means'], own.map(({ event, meaning }) => [...event.split(' ').map((part, i) => (i === 0 ? code(part) : part)), meaning]))}

A failed forwarding has the code of its fault: \`unreachable\`, \`closed\` and \`protocol\` are 502, \`offline\` and \`busy\` 503 with \`Retry-After\`, \`timeout\` 504,
\`forbidden\` 403 (the agent's local policy) or 502 (a server whose certificate is not the one that the route wants).

Other protocols are refused in words of their own, which say as little as that nobody is there, or that the server cannot be reached: [what a refused client sees](../operate/troubleshooting.md#the-front-door-refuses). Why really stands in the [journal](journal.md).
`;
}

const refusalMeanings: Readonly<Record<string, string>> = {
  'bad-input 400': 'the head cannot be read, or can be read in two ways; or the path has dot segments where paths matter',
  'cross-host 403': 'a page of another name tried to use this one',
  'forbidden 403': 'no right, no client certificate that the name or route asks for, or an address that is not on the list of allowed ones',
  'gone 410': 'the one-time code in the address was used, is too old, or for another name',
  'locked 403': 'the device or its agent is locked',
  'method 405': 'the gateway\'s own address takes other methods',
  'no-port 404': 'the device has no such port, or none that a browser opens',
  'no-route 404': 'the name is ours, the path is nobody\'s',
  'not-asked 403': 'this browser did not ask for the one-time code in the address',
  'not-found 404': 'no device has this label, or nothing is at this address',
  'timeout 408': 'the head took too long',
  'too-large 431': 'the head is too large; on the gateway\'s own names its cookies are cleared',
  'unauthenticated 401': 'nobody is signed in for this request, or the token is not known',
  'unknown-host 421': 'not a name of this gateway, or one that has another TLS policy than the name of this connection',
};

const faultNotes: Partial<Record<FaultCode, string>> = {
  gone: 'was there, is used up or expired',
  'not-found': 'there is no such thing, or nothing that you may see',
  timeout: 'it took longer than it may',
  'too-large': 'more bytes than a limit allows',
  unsupported: 'this version, or the other side, does not offer it',
  internal: 'a mistake in the gateway; its log has the request id',
};

// --- journal, audit and log

interface Said {
  readonly event: string;
  readonly meaning: string;
}

const journalMeanings: Readonly<Record<string, string>> = {
  'acme.failed': 'a certificate was not had by ACME; `why` holds what the authority said',
  'acme.issued': 'a certificate came by ACME and is in use',
  'acme.ordered': 'an order, or a renewal, by ACME began',
  'api.refused': 'the API refused somebody for want of a right, or for asking too often',
  'caller.refused': 'a session of `postern ssh`, `connect` or `forward` was refused at its handshake',
  'certificate.ends': 'a certificate ends within 30, 14 or 7 days, or has ended; a line a day until it is dealt with',
  'conn.refused': 'a connection was refused at its first bytes, or later for something that its route does not lead to: `protocol` and `name` as it said them, `why`, and `rule`',
  'delivery.delivered': 'an agent put a certificate in place, and its command succeeded',
  'delivery.failed': 'a certificate was not put in place: `state` and `why` say whether the command failed, the local policy refused it, or the agent does not know how',
  'exchange.failed': 'a request was let through, and its upstream or device failed',
  'exchange.refused': 'a request was refused; `rule` names the rule',
  'http2.refused': 'a connection of HTTP/2 was ended because it broke the protocol, or for resets, pings or settings without end',
  'head.refused': 'a request head could not be read, was too large or too slow',
  'join.refused': 'somebody tried to join or renew, and might not',
  'link.closed': 'a link ended; `why` says how',
  'link.opened': 'an agent linked',
  'flow.dropped': 'UDP datagrams of a link or a caller were dropped: too old, no room, too long; at most a line a minute for each',
  'link.refused': 'an agent\'s handshake was refused',
  'sign-in.refused': 'a wrong login or password',
  'stream.refused': 'a stream to a device, or from an agent, was refused',
  'stream.reset': 'the memory budget was used up: the stream that held most and moved least was reset',
  'relay.ended': 'a relayed connection (LDAP, SIP, TLS passed through …) ended: route, server, bytes of the client\'s connection, and why',
  'relay.failed': 'a route was found, and its server could not be reached',
  'tls.failed': 'a TLS handshake failed',
  'tls.legacy': 'a client came through a legacy lane, for the first time or for the first time that day',
  'tls.refused': 'a ClientHello was not answered: the client is too old for the policy of the name, its lane is over, or nobody had asked for an ACME challenge',
};

const auditMeanings: Readonly<Record<string, string>> = {
  'acme.account-changed': 'contact, root or external account of an account with an ACME authority',
  'acme.account-registered': 'an account was registered with an ACME authority; with `again`, because it had forgotten us',
  'acme.account-removed': 'the key of such an account was forgotten here',
  'acme.dns-key-removed': 'the TSIG key of a DNS server was removed',
  'acme.dns-key-set': 'the TSIG key of a DNS server was set',
  'agent.certificate-renewed': 'an agent renewed its certificate',
  'agent.joined': 'an agent joined with a one-time token, and its device with it',
  'agent.link-closed': 'somebody closed an agent\'s link',
  'agent.locked': 'an agent was locked',
  'agent.revoked': 'an agent was revoked for ever',
  'agent.unlocked': 'an agent was unlocked',
  'certificate.added': 'a certificate was uploaded, requested, issued or ordered, by somebody or at a first visit',
  'certificate.changed': 'its name, whether it is shown, or how it is ordered',
  'certificate.downloaded': 'somebody took it away; `withKey` says whether its private key too',
  'certificate.removed': 'it was removed, with its key',
  'certificate.renewal-asked': 'somebody had it ordered again before its time',
  'certificate.renewed': 'the private CA issued it anew',
  'certificate.replaced': 'another one took its place: uploaded by somebody, or from an ACME authority',
  'certificate.requested': 'a request (CSR) was made, with a new key',
  'certificate.signed': 'the private CA signed a request that somebody brought',
  'certificate.went-back': 'the one before it came back into its place',
  'cli-login.approved': 'somebody let a `postern login` in',
  'cli-login.refused': 'somebody refused one',
  'conn.cut': 'somebody ended a client\'s connection',
  'config.changed': 'a revision of the configuration came into force; with `confirmBy` for the time being',
  'config.confirmed': 'somebody confirmed it: it stays',
  'config.rolled-back': 'an earlier revision came back: by somebody, or by the gateway because nobody confirmed in time or it was restarted; `missing` names listeners that could not be opened',
  'delivery.added': 'somebody lets an agent put a certificate in place',
  'delivery.delivered': 'it is in place at the agent; with `sent` false it was there already',
  'delivery.failed': 'it could not be put in place; `why` says why not',
  'delivery.removed': 'somebody ended that; what is in place stays',
  'delivery.retried': 'somebody had it tried again',
  'device.added': 'a device was added behind an agent that had joined before',
  'device.certificate-accepted': 'the certificate of a device\'s https port was accepted: by somebody, or, with `first`, by the gateway because none was before',
  'device.certificate-forgotten': 'somebody forgot it: the next one shown is accepted',
  'device.changed': 'name, label, serial, host, ports or Host header of a device',
  'device.locked': 'a device was locked',
  'device.removed': 'a device was removed',
  'device.unlocked': 'a device was unlocked',
  'invite.removed': 'an invite was taken back',
  'join-token.created': 'a join token was made',
  'join-token.removed': 'a join token was taken back',
  'person.invited': 'a person was invited',
  'person.joined': 'a person used the invite',
  'person.locked': 'a person was locked',
  'person.password-changed': 'a person changed the password',
  'person.removed': 'a person was removed',
  'person.rights-changed': 'a person\'s rights were replaced',
  'person.set-up': 'the first person used the setup address',
  'person.unlocked': 'a person was unlocked',
  'sign-in.ended': 'a sign-in ended: signed out, revoked, or with its person',
  'sign-in.opened': 'somebody signed in',
  'sign-in.refused': 'a wrong password for a login that exists',
  'token.created': 'an access token was made',
  'token.revoked': 'an access token was revoked',
  'visit.closed': 'a visit ended: how long, how many bytes, why',
  'visit.cut': 'somebody ended another\'s visit',
  'visit.opened': 'a visit began, written before its first byte flowed',
};

function sourcesUnder(dir: string): { path: string; text: string }[] {
  return readdirSync(join(root, dir), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && statSync(join(root, dir, name)).isFile())
    .sort()
    .map((name) => ({ path: join(dir, name), text: source(join(dir, name)) }));
}

/** Events that the code has, each with its sentence; fails when one of the two lists has more than the other. */
function said(what: string, found: Iterable<string>, told: Readonly<Record<string, string>>): Said[] {
  const events = [...new Set(found)].sort();
  const silent = events.filter((event) => told[event] === undefined);
  const stale = Object.keys(told).filter((event) => !events.includes(event));
  if (silent.length > 0 || stale.length > 0) throw new Error(`scripts/reference.ts and the ${what} differ: without a sentence ${silent.join(', ') || 'none'}; no longer there ${stale.join(', ') || 'none'}`);
  return events.map((event) => ({ event, meaning: told[event]! }));
}

interface Source {
  readonly path: string;
  readonly text: string;
}

/** Every event by its name, written out where it is noted; one that is put together there could not be found. */
function journalEventsOf({ path, text }: Source): string[] {
  const calls = text.match(/journal\??\.note\(/g)?.length ?? 0;
  const events = [...text.matchAll(/journal\??\.note\(\s*'([a-z0-9.-]+)'/g)].map((match) => match[1]!);
  if (events.length !== calls) throw new Error(`scripts/reference.ts: ${path} notes an event in the journal whose name is not written out`);
  return events;
}

/** Names that are put together, and what comes of them. */
const composed: Readonly<Record<string, readonly string[]>> = { 'cli-login.${state}': ['cli-login.approved', 'cli-login.refused'] };
const auditNouns = 'acme|agent|certificate|cli-login|config|conn|delivery|device|invite|join-token|person|sign-in|token|visit';

/** What is written like an event, and no line of the log or the journal; and whatever an audit line is made with, if its noun is new. */
function auditEventsOf({ text }: Source): string[] {
  const known = new RegExp(`['\`]((?:${auditNouns})\\.(?:[a-z-]+|\\$\\{\\w+\\}))['\`]`, 'g');
  return text.split('\n').flatMap((line) => {
    if (/^\s*(?:\/?\*|\/\/)|\blog\.|journal\??\.note\(|\bpath: /.test(line)) return [];
    const found = [...line.matchAll(known), ...line.matchAll(/\b(?:what: |auditOf\(.*?)'([a-z-]+\.[a-z-]+)'/g)].map((match) => match[1]!);
    return found.filter((event) => !/\.(?:json|pem|id)$/.test(event)).flatMap((event) => composed[event] ?? [event]);
  });
}

function journalReference(): string {
  const files = sourcesUnder('src');
  const journal = said('journal', files.flatMap(journalEventsOf), journalMeanings);
  const audit = said('audit', files.filter(({ path }) => /^src\/(?:admin|app|model|proxy|tunnel)\//.test(path)).flatMap(auditEventsOf), auditMeanings);
  const logged = [...new Set(files.flatMap(({ text }) => [...text.matchAll(/\blog\.(info|warn|error)\('([a-z.-]+)'/g)].map((match) => `${match[2]} ${match[1]}`)))].sort();
  return `# Reference: journal, audit and log

${from('src')}
Three records with three purposes. All hold names, sizes and verdicts; none holds bodies, credentials or query values.

- **Journal**: what traffic did. In memory, ${limits.journalLinesMax.toLocaleString('en')} lines; the oldest go and are counted. \`postern journal --event exchange.refused\`
- **Audit**: what people did, and every visit. In the store, each line with the hash of the one before. \`postern audit\`, \`postern audit verify\`
- **Log**: what the gateway itself does, for its operator. Standard error, one JSON object a line (at a terminal in plain words). \`--log debug|info|warn|error\`

## Events of the journal

${table(['event', 'when'], journal.map(({ event, meaning }) => [code(event), meaning]))}

## Events of the audit

${table(['event', 'when'], audit.map(({ event, meaning }) => [code(event), meaning]))}

A line's hash is the SHA-256 of its canonical JSON, in which the hash of the line before stands. \`src/model/audit.ts\` says how that is written. Once a day the
head of the chain goes to the log (\`audit.head\`): a copy of the log on another machine proves that no line was rewritten.

## Events of the log

At the level \`debug\` there are more; these are the ones to watch for. Those of an agent come from its own process.

${table(['event', 'level'], logged.map((each) => each.split(' ')).map(([event, level]) => [code(event!), level!]))}
`;
}

// --- metrics

async function metricsReference(): Promise<string> {
  const zero = () => 0;
  const metrics = buildMetrics(
    { counts: newTrafficCounts(), links: zero, streams: zero, flows: () => ({ open: 0, sent: 0, received: 0, dropped: 0 }), visits: zero, linkBytes: () => ({ in: 0, out: 0 }), upstreamsIdle: zero, budgetHeld: zero, journalDropped: zero, devices: () => ({ all: 0, online: 0 }), revision: zero },
    'x',
  );
  const text = await metrics.text();
  const kinds = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map((match) => [match[1]!, match[2]!]));
  const rows = [...text.matchAll(/^# HELP (\S+) (.+)$/gm)].map((match) => [code(match[1]!), kinds.get(match[1]!) ?? '', match[2]!]);
  const isOurs = ([name = '']: readonly string[]) => !/^`postern_(?:process|nodejs)_/.test(name);
  return `# Reference: metrics

${from('src/app/metrics.ts')}
\`GET /metrics\` on the gateway's name, in Prometheus' text format. From this machine under a loopback name it needs nothing; from elsewhere
\`Authorization: Bearer TOKEN\` of somebody who may see the gateway. Counters begin at 0 with the process.

${table(['metric', 'kind', 'meaning'], rows.filter(isOurs))}

Beside these stand the runtime's own, under \`postern_process_\` and \`postern_nodejs_\`: CPU, memory, file descriptors, event loop lag, garbage collection.
`;
}

// --- API

const tags: readonly (readonly [string, RegExp])[] = [
  ['First run and signing in', /^\/(?:setup|sign-in|me|sign-ins|tokens|cli-logins)(?:\/|$)/],
  ['People', /^\/(?:people|invites|customers|sites)(?:\/|$)/],
  ['Devices and agents', /^\/(?:devices|agents|join-tokens|hand-over)(?:\/|$)/],
  ['Certificates', /^\/(?:certificates|certificate-form|acme|deliveries)(?:\/|$)/],
  ['What runs and what happened', /^\/(?:visits|conns|legacy-clients|audit|journal|events)(?:\/|$)/],
  ['The gateway', /^\/(?:config|listeners|routes|explain|status|doctor|openapi\.json)(?:\/|$)/],
];

function apiReference(): string {
  const names = Object.keys(contract) as RouteName[];
  const fieldsOf = (shape: z.ZodType | undefined): string => {
    const { properties = {}, required = [] } = shape ? (z.toJSONSchema(shape, { io: 'input', unrepresentable: 'any' }) as JsonSchema) : {};
    return Object.keys(properties).map((key) => (required.includes(key) ? key : `${key}?`)).join(', ');
  };
  const placed = new Set<RouteName>();
  const parts = tags.map(([title, matches]) => {
    const rows = names.filter((name) => matches.test(contract[name].path)).map((name) => {
      placed.add(name);
      const { method, path, needs, summary, query, body }: (typeof contract)[RouteName] & Shapes = contract[name];
      const takes = [query ? `query: ${fieldsOf(query)}` : '', body ? `body: ${fieldsOf(body) || 'a document'}` : ''].filter(Boolean).join('; ');
      return [code(`${method} ${path}`), needs === 'none' ? 'anyone' : needs === 'person' ? 'a person' : '', summary, takes];
    });
    return `## ${title}\n\n${table(['request', 'who', 'does', 'takes (? may be left out)'], rows)}\n`;
  });
  const left = names.filter((name) => !placed.has(name));
  if (left.length > 0) throw new Error(`scripts/reference.ts has no heading for ${left.join(', ')}`);
  return `# Reference: API

${from('src/api/contract.ts')}
Under \`${apiRoot}\` on the gateway's name. The whole contract with every shape is an OpenAPI 3.1 document: \`GET ${apiRoot}/openapi.json\`, which needs no sign-in.
Console and command line use this API and nothing else.

- **Who**: an empty cell means a sign-in or an access token (\`Authorization: Bearer TOKEN\`); *a person* means a sign-in, no token. What may be done with a thing is decided by [rights](../concepts.md#rights).
- **Times** are milliseconds since 1970; lengths of time milliseconds; sizes bytes.
- **Lists** come in pages: give \`next\` of an answer as \`cursor\` of the next question. Unknown fields are refused.
- **Refusals** are problem documents: see [faults](faults.md).
- **Writes, event streams and WebSockets** that a cookie authenticates are taken from the console's own origin alone.

${parts.join('\n')}`;
}

/** Every page by its path from the root. */
export async function buildReference(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['docs/reference/config.md', configReference()],
    ['docs/reference/cli.md', await cliReference()],
    ['docs/reference/limits.md', limitsReference()],
    ['docs/reference/faults.md', faultsReference()],
    ['docs/reference/journal.md', journalReference()],
    ['docs/reference/metrics.md', await metricsReference()],
    ['docs/reference/api.md', apiReference()],
  ]);
}

if (import.meta.main) {
  const isCheck = process.argv.includes('--check');
  for (const [path, text] of await buildReference()) {
    const before = statSync(join(root, path), { throwIfNoEntry: false }) ? source(path) : '';
    if (before === text) continue;
    process.stdout.write(`${isCheck ? 'no longer fits the code' : 'written'}: ${path}\n`);
    if (isCheck) process.exitCode = 1;
    else writeFileSync(join(root, path), text);
  }
}
