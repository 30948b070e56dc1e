// The papers are true: what they mark as runnable is run, what they show is compiled, what they point to is there, and what is
// made from the code still fits it.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { parseConfig } from '#model/config.ts';
import { compile } from '#model/snapshot.ts';
import { buildReference } from '../scripts/reference.ts';
import { request, root } from './kit/gateway.ts';
import { findPeers } from './kit/peers.ts';
import { freePort, openProcesses, postern } from './kit/processes.ts';

const filesUnder = (dir: string, matches: (name: string) => boolean): string[] =>
  readdirSync(join(root, dir), { recursive: true, encoding: 'utf8' })
    .filter((name) => matches(name) && statSync(join(root, dir, name)).isFile())
    .map((name) => join(dir, name))
    .sort();
const isPaper = (name: string) => name.endsWith('.md');
const papers = [...readdirSync(root).filter(isPaper).sort(), ...filesUnder('docs', isPaper)];
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Block {
  readonly paper: string;
  readonly line: number;
  /** What stands behind the fence: `sh`, `sh run`, `json` … */
  readonly info: string;
  readonly text: string;
}

const blocksOf = (paper: string): Block[] => {
  const text = read(paper);
  return [...text.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)].map((match) => ({ paper, line: text.slice(0, match.index).split('\n').length, info: match[1]!.trim(), text: match[2]! }));
};
const blocks = papers.flatMap(blocksOf);
const prose = (paper: string): string => read(paper).replace(/^```.*?^```$/gms, '').replace(/`[^`\n]*`/g, '');
const where = ({ paper, line }: Block): string => `${paper}:${line}`;

test('each page has one title, and every fence says what is in it', () => {
  const problems: string[] = [];
  for (const paper of papers) {
    const titles = prose(paper).split('\n').filter((line) => line.startsWith('# '));
    if (titles.length !== 1 || !read(paper).startsWith('# ')) problems.push(`${paper}: begins with one title, has ${titles.length}`);
    if ((read(paper).match(/^```/gm)?.length ?? 0) % 2 !== 0) problems.push(`${paper}: a fence is not closed`);
  }
  assert.deepEqual(problems, []);
});

/** GitHub's anchors: lower case, spaces to hyphens, most punctuation gone. */
const anchorOf = (heading: string): string => heading.trim().toLowerCase().replace(/[^\p{Letter}\p{Number}\s_-]/gu, '').replaceAll(' ', '-');
const anchorsOf = (path: string): Set<string> => new Set(read(path).split('\n').filter((line) => /^#{1,6} /.test(line)).map((line) => anchorOf(line.replace(/^#+ /, '').replaceAll('`', ''))));

test('links between papers lead somewhere', () => {
  const broken: string[] = [];
  for (const paper of papers) {
    const text = prose(paper);
    const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g), ...text.matchAll(/<img src="([^"]+)"/g)].map((match) => match[1]!);
    for (const target of targets) {
      if (/^https?:\/\//.test(target)) continue;
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? paper : relative(root, resolve(root, dirname(paper), path));
      if (file.startsWith('..') || !existsSync(join(root, file))) broken.push(`${paper}: ${target}`);
      else if (anchor !== undefined && !anchorsOf(file).has(anchor)) broken.push(`${paper}: ${target} (no such heading)`);
    }
  }
  assert.deepEqual(broken, []);
});

/** A clause is known by the sign before it, an OID by its five or more parts; four numbers without such a mark are an address. */
const withoutNumbering = (line: string): string => line.replace(/§\d{1,2}(?:\.\d{1,2})+(?![.\d])/g, '').replace(/\b\d+(?:\.\d+){4,}\b/g, '');

test('words that say nothing, words with a second meaning, and places of somebody\'s machine are not in the papers', () => {
  const banned = /\b(?:blazing\w*|seamless\w*|effortless\w*|cutting[- ]edge|world[- ]class|enterprise[- ]grade|state[- ]of[- ]the[- ]art|next[- ]generation|revolutionary|powerful|robust|leverag\w+|utili[sz]e[sd]?|simply|just works|easily|helpers?|managers?|processors?|connectors?|TODO|FIXME|XXX)\b/i;
  const found: string[] = [];
  for (const paper of papers) {
    for (const [i, line] of read(paper).split('\n').entries()) {
      const word = banned.exec(paper === 'README.md' ? line.replace(/^\|.*/, '') : line)?.[0];
      if (word) found.push(`${paper}:${i + 1}: ${word}`);
      for (const [address] of withoutNumbering(line).matchAll(/\b\d{1,3}(?:\.\d{1,3}){3}\b/g)) {
        if (!/^(?:127\.|0\.0\.0\.0$|192\.0\.2\.|198\.51\.100\.|203\.0\.113\.|224\.0\.0\.0$|169\.254\.)/.test(address)) found.push(`${paper}:${i + 1}: ${address} is not from a documentation range`);
      }
      if (/(?:^|[\s`("])\/(?:root|work|home|tmp)\//.test(line)) found.push(`${paper}:${i + 1}: a path of somebody's machine`);
    }
  }
  assert.deepEqual(found, []);
});

test('configurations in examples and papers compile', () => {
  const documents = [
    ...readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.json')).map((name) => ({ name: `examples/${name}`, text: read(`examples/${name}`) })),
    ...blocks.filter(({ info, text }) => info === 'json' && text.includes('"listeners"')).map((block) => ({ name: where(block), text: block.text })),
  ];
  assert.ok(documents.length >= 5);
  for (const { name, text } of documents) {
    const parsed = parseConfig(JSON.parse(text));
    assert.ok('config' in parsed, `${name}: ${JSON.stringify('problems' in parsed && parsed.problems)}`);
    const compiled = compile(parsed.config, 1);
    assert.ok('snapshot' in compiled, `${name}: ${JSON.stringify('problems' in compiled && compiled.problems)}`);
  }
});

test('parts of a configuration that the papers show stand in an example, which compiles', () => {
  const things = readdirSync(join(root, 'examples'))
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => Object.values(JSON.parse(read(`examples/${name}`)) as Record<string, unknown>).flatMap((value) => (Array.isArray(value) ? (value as unknown[]) : [value])));
  const known = new Set(things.map((thing) => JSON.stringify(thing)));
  const parts = blocks.filter(({ info }) => info === 'json part');
  assert.ok(parts.length > 0);
  assert.deepEqual(parts.filter(({ text }) => !known.has(JSON.stringify(JSON.parse(text)))).map(where), []);
});

test('the reference fits the code', async () => {
  const pages = await buildReference();
  const stale = [...pages].filter(([path, text]) => !existsSync(join(root, path)) || read(path) !== text).map(([path]) => path);
  assert.deepEqual(stale, [], 'these no longer fit the code; write them anew: node scripts/reference.ts');
  assert.deepEqual(filesUnder('docs/reference', isPaper), [...pages.keys()].sort(), 'every page of the reference is made');
});

test('commands and npm scripts that the papers name exist, with the options they show', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const cli = new Map([...read('docs/reference/cli.md').matchAll(/^## postern (\S+)\n\n```text\n(.*?)```/gms)].map((match) => [match[1]!, match[2]!]));
  const wrong: string[] = [];
  const shown = [...blocks.filter(({ info }) => /^(?:sh|ini)\b/.test(info)).flatMap((block) => block.text.split('\n').map((text) => ({ at: where(block), text }))), ...papers.filter((paper) => !paper.startsWith('docs/reference/')).flatMap((paper) => [...read(paper).replace(/^```.*?^```$/gms, '').matchAll(/`([^`\n]+)`/g)].map((match) => ({ at: paper, text: match[1]! })))];
  for (const { at, text } of shown) {
    for (const [, script] of text.matchAll(/\bnpm run ([a-z:-]+)/g)) if (!Object.hasOwn(scripts, script!)) wrong.push(`${at}: npm run ${script}`);
    const plain = text.replace(/\s#\s.*$/, '');
    for (const [, command, rest] of plain.matchAll(/(?:^|[\s/=|"])postern ([a-z][a-z-]*)([^|;"`]*)/g)) {
      const usage = cli.get(command!);
      if (usage === undefined) {
        if (/^(?:\.\/|\/opt\/postern\/)?postern /.test(plain.trim())) wrong.push(`${at}: postern ${command}`);
        continue;
      }
      if (command === 'ssh') continue; // its options are OpenSSH's
      for (const [, option] of rest!.matchAll(/\s(--?[a-z][a-z-]*)/g)) if (!usage.includes(option!)) wrong.push(`${at}: postern ${command} has no ${option}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('events and requests that the papers name are there', () => {
  const told = [...read('docs/reference/journal.md').matchAll(/^\| `([a-z0-9.-]+)` \|/gm)].map((match) => match[1]!);
  const events = new Set(told);
  const kinds = new Set(told.map((event) => event.split('.')[0]));
  const known = [...read('docs/reference/api.md').matchAll(/^\| `([A-Z]+) (\S+)` \|/gm)].map((match) => ({ method: match[1]!, path: new RegExp(`^${match[2]!.replace(/\{\w+\}/g, '[^/]+')}$`) }));
  const wrong: string[] = [];
  for (const paper of papers.filter((each) => !each.startsWith('docs/reference/'))) {
    const text = read(paper);
    for (const [, event] of text.matchAll(/--event ([a-z0-9.-]+)/g)) if (!events.has(event!)) wrong.push(`${paper}: --event ${event}`);
    for (const [, event, kind] of text.matchAll(/`(([a-z][a-z0-9-]*)\.[a-z][a-z-]+)`/g)) {
      if (kinds.has(kind) && !events.has(event!) && !/\.(?:json|pem|key|ts|md|db|log|id|pid|localhost)$/.test(event!)) wrong.push(`${paper}: ${event}`);
    }
    for (const [, method, path] of text.matchAll(/`(GET|PUT|POST|PATCH|DELETE) \/api\/v1(\/[^?`\s]*)/g)) {
      if (!known.some((each) => each.method === method && each.path.test(path!))) wrong.push(`${paper}: ${method} ${path}`);
    }
  }
  assert.ok(events.size > 50 && known.length > 50);
  assert.deepEqual(wrong, []);
});

test('messages that troubleshooting names are in the code', () => {
  const code = ['src', 'scripts'].flatMap((dir) => filesUnder(dir, (name) => /\.(?:ts|mjs)$/.test(name) && !name.endsWith('.test.ts')).map(read)).join('\n').replaceAll("\\'", "'");
  // Sentences are put together from parts: a value in the middle, a full stop at the end.
  const missing = [...read('docs/operate/troubleshooting.md').matchAll(/^### (.*)$/gm)]
    .flatMap((heading) => [...heading[1]!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!))
    .flatMap((message) => message.split('…').map((part) => part.trim().replace(/[.(]$/, '')))
    .filter((part) => part.length > 3 && !part.startsWith('postern '))
    .filter((part) => !code.includes(part) && !code.includes(part.replace(/^\S+: /, '')));
  assert.deepEqual(missing, []);
});

test('code in the papers that is marked as runnable runs', { timeout: 120_000 }, async () => {
  await using processes = openProcesses();
  const samples = blocks.filter(({ info }) => info === 'ts');
  assert.ok(samples.length > 0);
  for (const sample of samples) {
    const ran = await processes.run(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '--eval', sample.text.replaceAll("'../kit/", "'#kit/")], { cwd: root });
    assert.equal(ran.code, 0, `${where(sample)}\n${ran.stdout}${ran.stderr}`);
  }
});

test('shell blocks that are marked as runnable run, in order, against a gateway with the demo', { timeout: 180_000 }, async () => {
  await using processes = openProcesses();
  // As in a checkout that `npm start` was run in: the command, the examples and the data folder stand beside each other.
  symlinkSync(postern, join(processes.folder, 'postern'));
  symlinkSync(join(root, 'examples'), join(processes.folder, 'examples'));
  const [http, https] = [await freePort(), await freePort()];
  const ports = new Map([['8080', http], ['8443', https], ['8090', await freePort()], ['8091', await freePort()]]);
  // The papers' scan server runs beside the shell that started it, until a later block ends it.
  processes.defer(() => {
    const kept = join(processes.folder, 'scan-server.pid');
    if (!existsSync(kept)) return;
    try {
      process.kill(Number(readFileSync(kept, 'utf8')));
    } catch {
      // It has ended.
    }
  });
  const gateway = processes.start(postern, ['serve', '--demo', '--data', join(processes.folder, 'data'), '--http', String(http), '--https', String(https)]);
  await gateway.says(/Postern is ready/, 60_000);
  const code = (await gateway.says(/\/setup#(\S+)/))[1]!;
  const body = JSON.stringify({ code, login: 'owner', name: 'Owner', password: 'correct horse battery staple' });
  const made = await request(http, { method: 'POST', path: '/api/v1/setup', headers: { host: `localhost:${http}`, 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }, body });
  assert.equal(made.status, 200, made.body.toString());
  const runnable = blocks.filter(({ info }) => info === 'sh run');
  assert.ok(runnable.length >= 5, 'the papers have blocks that run');
  const asksCurl = new Set(runnable.filter(({ text }) => /\bcurl\b/.test(text)).map(({ paper }) => paper));
  const hasCurl = findPeers(['curl']).skip === false;
  for (const block of runnable) {
    if (!hasCurl && asksCurl.has(block.paper)) continue;
    const script = block.text.replace(/\b80(?:80|90|91)\b|\b8443\b/g, (port) => String(ports.get(port)));
    const ran = await processes.run('sh', ['-euc', script], { cwd: processes.folder });
    assert.equal(ran.code, 0, `${where(block)}\n${script}\n${ran.stdout}${ran.stderr}`);
  }
  const ended = await gateway.stop();
  assert.equal(ended.code, 0, gateway.stderr);
});
