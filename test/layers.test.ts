// Keeps the house clean: who may import whom, what the pure floors may touch, which library lives where.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

const src = resolve(import.meta.dirname, '..', 'src');
/** Lowest first; rooms on one floor never import each other. */
const FLOORS = [['base'], ['wire'], ['model'], ['net', 'api', 'store'], ['proxy', 'tunnel', 'fleet', 'field', 'site', 'admin'], ['app'], ['bin']];
const PURE = new Set(['base', 'wire', 'model']);
/** What a pure file may take from Node: computing, no sockets, files, timers or processes. */
const PURE_NODE = new Set(['node:crypto', 'node:buffer']);
/** A library is imported in one room, and in one file where it has one job. */
const LIBRARIES: Record<string, string[]> = {
  kysely: ['store/'],
  zod: ['api/', 'model/config.ts'],
  hono: ['admin/'],
  '@peculiar/x509': ['model/certificate.ts'],
  'acme-client': ['net/acme.ts'],
  'node-forge': ['model/pkcs12.ts'],
  pg: ['store/'],
  re2js: ['model/pattern.ts'],
  '@nats-io/transport-node': ['fleet/sink-nats.ts'],
  '@nats-io/jetstream': ['fleet/sink-nats.ts'],
  '@platformatic/kafka': ['fleet/sink-kafka.ts'],
  pino: ['app/'],
  'prom-client': ['app/'],
  'net-snmp': ['field/snmp.ts'],
};
/** Exceptions that are known and wanted: "from > to". A row that no longer applies fails the test. */
const EXCEPTIONS: string[] = [];

function files(dir: string): string[] {
  return readdirSync(dir).flatMap((name) => {
    const path = join(dir, name);
    if (statSync(path).isDirectory()) return files(path);
    return name.endsWith('.ts') ? [path] : [];
  });
}

const floorOf = (room: string) => FLOORS.findIndex((floor) => floor.includes(room));
const all = files(src);
const graph = new Map<string, string[]>();
const problems: string[] = [];
const used = new Set<string>();

for (const file of all) {
  const here = relative(src, file);
  const room = here.split('/')[0]!;
  if (floorOf(room) < 0) problems.push(`${here}: "${room}" is not a room of the house`);
  if (/(^|\/)index\.ts$/.test(here)) problems.push(`${here}: no barrels`);
  const text = readFileSync(file, 'utf8');
  const isTest = file.endsWith('.test.ts');
  const edges: string[] = [];
  graph.set(here, edges);
  for (const match of text.matchAll(/(?:^|\n)\s*(?:import|export)\s(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g)) {
    const name = (match[1] ?? match[2])!;
    let target: string | undefined;
    if (name.startsWith('#')) target = name.slice(1);
    else if (name.startsWith('.')) target = relative(src, resolve(dirname(file), name));
    if (target === undefined) {
      if (name.startsWith('node:')) {
        if (PURE.has(room) && !isTest && !PURE_NODE.has(name)) problems.push(`${here}: a pure room imports ${name}`);
        continue;
      }
      const library = name.startsWith('@') ? name.split('/').slice(0, 2).join('/') : name.split('/')[0]!;
      const allowed = LIBRARIES[library];
      if (!allowed) problems.push(`${here}: ${library} is not on the list of libraries`);
      else if (!isTest && !allowed.some((place) => here === place || (place.endsWith('/') && here.startsWith(place)))) problems.push(`${here}: ${library} may be imported only in ${allowed.join(', ')}`);
      continue;
    }
    if (target.startsWith('kit/') || target.startsWith('../test/')) {
      if (!isTest) problems.push(`${here}: imports test code`);
      continue;
    }
    if (!target.endsWith('.ts') || target.startsWith('..')) {
      problems.push(`${here}: imports ${name}, which is not a .ts file of the house`);
      continue;
    }
    edges.push(target);
    const other = target.split('/')[0]!;
    if (other === room) continue;
    const edge = `${here} > ${target}`;
    if (EXCEPTIONS.includes(edge)) {
      used.add(edge);
      continue;
    }
    if (isTest) continue;
    if (floorOf(other) >= floorOf(room)) problems.push(`${here}: imports ${target}, which is not on a lower floor`);
    if (other === 'store' && room !== 'app' && room !== 'bin') problems.push(`${here}: store is imported by app and bin alone`);
  }
  if (PURE.has(room) && !isTest) {
    const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '');
    for (const banned of ['Date.now', 'Math.random', 'setTimeout', 'setInterval', 'setImmediate', 'process.', 'console.', 'performance.', 'new Date()']) {
      if (new RegExp(`(^|[^\\w.'"])${banned.replace(/[.()]/g, '\\$&')}`).test(code)) problems.push(`${here}: a pure room uses ${banned}`);
    }
  }
}

test('every import goes down the house', () => assert.deepEqual(problems, []));

test('no file imports itself in a circle', () => {
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: string[]) => {
    if (path.includes(file)) {
      circles.push([...path.slice(path.indexOf(file)), file].join(' > '));
      return;
    }
    if (done.has(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  assert.deepEqual(circles, []);
});

test('every imported file exists and no exception is stale', () => {
  const missing = [...graph].flatMap(([file, edges]) => edges.filter((edge) => !graph.has(edge)).map((edge) => `${file}: ${edge} does not exist`));
  assert.deepEqual(missing, []);
  assert.deepEqual(EXCEPTIONS.filter((edge) => !used.has(edge)), []);
});

test('the agent stays small: its imports never reach admin, store, fleet or site', { skip: !graph.has('app/agent.ts') }, () => {
  const seen = new Set<string>();
  const walk = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const next of graph.get(file) ?? []) walk(next);
  };
  walk('app/agent.ts');
  assert.deepEqual([...seen].filter((file) => /^(admin|store|fleet|site|proxy)\//.test(file)), []);
});
