// The way in for a fresh machine: any Node of version 20 or newer runs this file, which installs what the lockfile
// names, checks that the runtime that comes with the package (Node 26) loads, and hands over to it.
// Plain JavaScript on purpose: it must run before anything is installed.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, 'node_modules', '.postern-installed');

/** Stops with a message that says what to do. */
function stop(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function lockDigest() {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch}\n`);
  for (const file of ['package-lock.json', 'package.json']) hash.update(readFileSync(join(root, file)));
  return hash.digest('hex');
}

/** Installs exactly what the lockfile names, once per lockfile. */
function install() {
  const digest = lockDigest();
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  process.stdout.write('postern: installing packages (once per version) …\n');
  const npm = process.env.npm_execpath;
  const [command, first] = npm ? [process.execPath, [npm]] : ['npm', []];
  const done = spawnSync(command, [...first, 'ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (done.error) stop(`postern: npm could not be started (${done.error.message}). Install npm, then try again.`);
  if (done.status !== 0) stop('postern: npm ci failed; the lines above say why. Nothing was started.');
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, digest);
}

function bundledRuntime() {
  return join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
}

/** The runtime's path. Its own package first; the Node that runs this file where that one is new enough. */
function findRuntime() {
  const bundled = bundledRuntime();
  if (existsSync(bundled)) {
    const tried = spawnSync(bundled, ['--version'], { encoding: 'utf8' });
    if (tried.status === 0) return bundled;
    if (/libatomic/.test(tried.stderr ?? '')) {
      stop(
        'apt-get install -y libatomic1\n' +
          'postern: the runtime needs the system library libatomic1, which is not installed. Run the command above\n' +
          '(as root; on Fedora and RHEL the package is "libatomic", on Alpine use a glibc system), then try again.',
      );
    }
    stop(`postern: the runtime ${bundled} does not start here:\n${tried.stderr || tried.error?.message || ''}`);
  }
  if (Number(process.versions.node.split('.')[0]) >= 26) return process.execPath;
  return stop(
    `postern: there is no bundled runtime for ${process.platform}-${process.arch}. Install Node 26 and run this with it.`,
  );
}

if (Number(process.versions.node.split('.')[0]) < 20) stop(`postern: Node 20 or newer is needed, this is ${process.version}.`);
// A missing system library is said before anything is downloaded where a glance can tell.
if (process.platform === 'linux' && process.report?.getReport && !existsSync(bundledRuntime())) {
  const libs = spawnSync('ldconfig', ['-p'], { encoding: 'utf8', env: { ...process.env, PATH: `${process.env.PATH}:/sbin:/usr/sbin` } });
  if (libs.status === 0 && !/libatomic\.so\.1/.test(libs.stdout)) {
    stop(
      'apt-get install -y libatomic1\n' +
        'postern: the runtime needs the system library libatomic1, which is not installed. Run the command above\n' +
        '(as root; on Fedora and RHEL the package is "libatomic"), then try again.',
    );
  }
}
install();
const runtime = findRuntime();
const [what = 'start', ...rest] = process.argv.slice(2);
const args = ['--disable-warning=ExperimentalWarning', join(root, 'scripts', 'tasks.ts'), what, ...rest];
const child = spawn(runtime, args, { cwd: process.cwd(), stdio: 'inherit' });
// The terminal sends Ctrl-C to the whole group; the child ends by itself and its code is ours.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  });
}
child.on('exit', (code, signal) => {
  if (signal) process.exit(128);
  process.exit(code ?? 1);
});
