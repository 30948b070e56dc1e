// node scripts/reference.ts [--check]: writes docs/reference/*.md from the code, or says which of them no longer fit it.
// What a reader may look up word by word is made from its one source; the sentences around it are here.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { contract, type Shapes } from '#api/contract.ts';
import { apiRoot, type RouteName } from '#api/paths.ts';
import { statusOfCode } from '#api/problem.ts';
import { newIntakeCounts } from '#app/intake-counts.ts';
import { buildMetrics } from '#app/metrics.ts';
import type { FaultCode } from '#base/fault.ts';
import { newTrafficCounts } from '#proxy/meter.ts';
import { defaultStateDir } from '#bin/agent.ts';
import { commonUsage } from '#bin/arguments.ts';
import type { Command } from '#bin/io.ts';
import { configReference } from './reference-config.ts';
import { journalReference, said } from './reference-events.ts';
import { limitsReference } from './reference-limits.ts';
import { code, from, table, type JsonSchema } from './reference-page.ts';

const root = resolve(import.meta.dirname, '..');
const source = (path: string): string => readFileSync(join(root, path), 'utf8');

// --- command line

async function cliReference(): Promise<string> {
  const overview = source('src/bin/postern.ts');
  const listed = [...overview.matchAll(/^ {6}'?([a-z-]+)'?: \{ summary: (?:'([^']+)'|"([^"]+)"), load: \(\) => import\('\.\/([a-z-]+)\.ts'\) \}/gm)].map((match) => ({ name: match[1]!, summary: match[2] ?? match[3]!, file: match[4]! }));
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
  'unsupported 404': 'the device has no agent: it brings its data by itself, and nobody can open it',
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

// --- metrics

async function metricsReference(): Promise<string> {
  const zero = () => 0;
  const metrics = buildMetrics(
    { counts: newTrafficCounts(), links: zero, streams: zero, flows: () => ({ open: 0, sent: 0, received: 0, dropped: 0 }), visits: zero, linkBytes: () => ({ in: 0, out: 0 }), upstreamsIdle: zero, budgetHeld: zero, journalDropped: zero, devices: () => ({ all: 0, online: 0 }), revision: zero, disk: () => ({ level: 'ok', freeBytes: 0, usedBytes: 0, reusableBytes: 0, since: 0, why: null }), dropped: () => ({ audit: 0 }), doors: () => ({ doors: 0, bound: 0, open: 0, accepted: 0, refused: 0 }), intake: newIntakeCounts(), intakeWaiting: () => ({ batches: 0, bytes: 0 }) },
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
  ['People, customers, sites', /^\/(?:people|invites|customers|sites(?!\/\{site\}\/doctor))(?:\/|$)/],
  ['Devices and agents', /^\/(?:devices(?!\/\{device\}\/(?:virtual-address|identity|urls|doctor|probe|profile|series|samples)(?:\/|$))|agents(?!\/\{id\}\/probe-credentials)|join-tokens|hand-over|waiting-devices|device-export|device-import|files)(?:\/|$)/],
  ['Applications that know devices by their address', /^\/(?:devices\/\{device\}\/(?:virtual-address|identity|urls|doctor)|sites\/\{site\}\/doctor|doors|address-pool|virtual-addresses|applications|job-sources|device-sessions|unassigned)(?:\/|$)/],
  ['Asking devices what they are', /^\/(?:devices\/\{device\}\/(?:probe|profile|series|samples)|agents\/\{id\}\/probe-credentials|profiles|probes|drivers)(?:\/|$)/],
  ['What devices bring, and where it goes', /^\/(?:feeds|sinks|alerts|secrets)(?:\/|$)/],
  ['Devices at other servers', /^\/(?:redirects|leases|servers)(?:\/|$)/],
  ['Certificates', /^\/(?:certificates|certificate-form|acme|deliveries|pins)(?:\/|$)/],
  ['What runs and what happened', /^\/(?:visits|conns|legacy-clients|audit|journal|events)(?:\/|$)/],
  ['The gateway', /^\/(?:config|listeners|routes|explain|status|doctor|keeping|backup|openapi\.json)(?:\/|$)/],
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
