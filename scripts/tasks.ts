// What the npm scripts do, once the runtime is there (scripts/start.mjs). Node 26 runs this file as it is.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const node = process.execPath;
const flags = ['--disable-warning=ExperimentalWarning'];
const [task = 'start', ...args] = process.argv.slice(2);

function filesUnder(dir: string, matches: (path: string) => boolean): string[] {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => matches(path) && statSync(path).isFile())
    .sort();
}

function run(command: string, commandArgs: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  return new Promise((done) => {
    const child = spawn(command, commandArgs, { cwd: root, stdio: 'inherit', env });
    const pass = (signal: NodeJS.Signals) => child.kill(signal);
    process.on('SIGTERM', pass).on('SIGINT', () => {});
    child.on('error', (error) => {
      process.stderr.write(`postern: ${command} cannot be started: ${error.message}\n`);
      done(1);
    });
    child.on('exit', (code, signal) => {
      process.off('SIGTERM', pass);
      done(code ?? (signal ? 1 : 0));
    });
  });
}

/** Builds the console when its sources changed since it was last built. */
function buildConsole(quietly: boolean): number {
  const sources = [...filesUnder(join(root, 'console'), (path) => !path.includes('/dist/') && !path.includes('/dev/')), ...filesUnder(join(root, 'src', 'api'), (path) => !path.endsWith('.test.ts')), join(root, 'package-lock.json')];
  const hash = createHash('sha256');
  for (const file of sources) hash.update(relative(root, file)).update('\0').update(readFileSync(file));
  const digest = hash.digest('hex');
  const stamp = join(root, 'console', 'dist', '.built-from');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return 0;
  process.stdout.write('postern: building the console …\n');
  const built = spawnSync(node, [join(root, 'node_modules', 'vite', 'bin', 'vite.js'), 'build', '--config', join('console', 'vite.config.ts'), ...(quietly ? ['--logLevel', 'warn'] : [])], { cwd: root, stdio: 'inherit' });
  if (built.status !== 0) return built.status ?? 1;
  mkdirSync(join(root, 'console', 'dist'), { recursive: true });
  writeFileSync(stamp, digest);
  return 0;
}

const isTest = (path: string) => path.endsWith('.test.ts');
const unitTests = () => [...filesUnder(join(root, 'console', 'src'), isTest), ...filesUnder(join(root, 'src'), isTest), ...filesUnder(join(root, 'examples'), isTest), ...filesUnder(join(root, 'test'), (path) => isTest(path) && !/\/test\/(?:integration|peers|sim|fuzz|node_modules)\//.test(path))];

/** Each test file is a process, and each store in it two threads, that would compile the same modules anew: a third of what the tests cost. */
const testEnv: NodeJS.ProcessEnv = { NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'postern-tests'), ...process.env };

function nodeTest(files: readonly string[], options: readonly string[] = []): Promise<number> {
  return run(node, [...flags, '--test', '--test-timeout=300000', ...(options.some((each) => each.startsWith('--test-concurrency')) ? [] : ['--test-concurrency=2']), ...options, ...files], testEnv);
}

async function check(): Promise<number> {
  const bin = (...path: string[]) => join(root, 'node_modules', ...path);
  const steps: [string, () => Promise<number>][] = [
    ['types', () => run(node, [bin('typescript', 'bin', 'tsc'), '-p', 'tsconfig.json'])],
    ['types of the console', () => run(node, [bin('typescript', 'bin', 'tsc'), '-p', join('console', 'tsconfig.json')])],
    ['lint', () => run(node, [bin('oxlint', 'bin', 'oxlint'), '--quiet', 'src', 'test', 'bench', 'console', 'scripts', 'examples'])],
    ['layers and unit tests', () => nodeTest(unitTests(), ['--test-reporter=dot'])],
  ];
  for (const [name, step] of steps) {
    process.stdout.write(`check: ${name}\n`);
    const code = await step();
    if (code !== 0) {
      process.stderr.write(`check: ${name} failed\n`);
      return code;
    }
  }
  process.stdout.write('check: all is well\n');
  return 0;
}

async function peers(names: readonly string[]): Promise<number> {
  const all = filesUnder(join(root, 'test', 'peers'), isTest);
  const chosen = names.length === 0 ? all : names.flatMap((name) => {
    const found = all.filter((path) => path.endsWith(`/peers/${name}.test.ts`));
    if (found.length === 0) {
      process.stderr.write(`postern: there is no test/peers/${name}.test.ts; there are ${all.map((path) => relative(join(root, 'test', 'peers'), path).replace(/\.test\.ts$/, '')).join(', ')}\n`);
      process.exit(2);
    }
    return found;
  });
  const built = buildConsole(true);
  return built === 0 ? nodeTest(chosen, ['--test-concurrency=2']) : built;
}

async function everything(): Promise<number> {
  const built = buildConsole(true);
  if (built !== 0) return built;
  const files = [...unitTests(), ...filesUnder(join(root, 'console', 'dev'), isTest), ...['integration', 'sim', 'fuzz', 'peers'].flatMap((dir) => filesUnder(join(root, 'test', dir), isTest))];
  return nodeTest(files, ['--test-concurrency=2']);
}

async function main(): Promise<number> {
  switch (task) {
    case 'start': {
      const built = buildConsole(true);
      if (built !== 0) process.stderr.write('postern: the console could not be built; everything else works\n');
      return run(node, [...flags, join(root, 'src', 'bin', 'postern.ts'), 'serve', '--demo', ...args]);
    }
    case 'test':
      return args.length > 0 ? nodeTest(args.map((file) => resolve(file))) : everything();
    case 'check':
      return check();
    case 'peers':
      return peers(args);
    case 'console':
      return buildConsole(false);
    case 'fuzz':
      return run(node, [...flags, '--test', ...filesUnder(join(root, 'test', 'fuzz'), isTest)], { ...process.env, POSTERN_FUZZ_SECONDS: args[0] ?? '600' });
    case 'oracle':
      return run(node, [...flags, join(root, 'test', 'oracle', 'main.ts'), ...args]);
    case 'bench':
      return run(node, [...flags, join(root, 'bench', 'run.ts'), ...args]);
    default:
      process.stderr.write(`postern: there is no task "${task}"\n`);
      return 2;
  }
}

process.exitCode = await main();
