// Drivers of devices: those that come with the gateway, and the owner's own in the data folder, which go before one of the same key. Read at start and after each change.
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { type DriverFile, gatherDrivers, type LoadedDriver, parseDriver } from '#model/probe/driver.ts';
import type { DriverControl, DriverShown } from '#model/probe-control.ts';

export interface Drivers extends DriverControl {
  all(): readonly LoadedDriver[];
}

export interface DriversOptions {
  /** `drivers` of the repository, unless a test brings its own. */
  readonly shippedDir?: string;
  /** `drivers` of the data folder; made when the first one is put there. */
  readonly ownDir: string;
  readonly limits: Pick<Limits, 'driverBytesMax' | 'driversMax'>;
  readonly log: Log;
}

export const shippedDrivers = resolve(import.meta.dirname, '../../drivers');

async function readDir(dir: string, own: boolean, { limits, log }: DriversOptions): Promise<DriverFile[]> {
  const names = await readdir(dir).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'ENOENT') log.warn('drivers.not-read', { dir, why: reasonOf(thrown) });
    return [];
  });
  const files: DriverFile[] = [];
  for (const file of names.filter((name) => name.endsWith('.json') && !name.startsWith('.')).sort().slice(0, 2 * limits.driversMax)) {
    try {
      files.push({ file, text: await readFile(join(dir, file), 'utf8'), own });
    } catch (thrown) {
      log.warn('drivers.not-read', { file, why: reasonOf(thrown) });
    }
  }
  return files;
}

/** Whole or not at all, and durable when it resolves. */
async function writeWhole(dir: string, name: string, text: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const temporary = join(dir, `.${name}.tmp`);
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, join(dir, name));
}

export async function openDrivers(options: DriversOptions): Promise<Drivers> {
  const { ownDir, limits, log } = options;
  let files: readonly DriverFile[] = [];
  let loaded: readonly LoadedDriver[] = [];
  let shown: readonly DriverShown[] = [];

  const describe = (file: DriverFile, problems: ReturnType<typeof gatherDrivers>['problems']): DriverShown => {
    const parsed = parseDriver(file.text);
    const own = problems.filter((problem) => problem.file === file.file);
    const driver = 'driver' in parsed ? parsed.driver : null;
    const used = driver !== null && loaded.some((each) => each.driver.key === driver.key && each.own === file.own && each.file === file.file);
    const problem = own.length === 0 ? null : own.slice(0, 5).map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
    return {
      key: driver?.key ?? file.file.replace(/\.json$/, ''), name: driver?.vendor ?? (driver?.fallback ? `any other ${driver.fallback}` : ''), own: file.own,
      replaced: driver !== null && !used && !file.own && problem === null, prefixes: driver?.sysObjectIds ?? [], problem: used ? null : problem,
    };
  };
  const refresh = async () => {
    files = [...(await readDir(options.shippedDir ?? shippedDrivers, false, options)), ...(await readDir(ownDir, true, options))];
    const { drivers, problems } = gatherDrivers(files);
    loaded = drivers;
    shown = files.map((file) => describe(file, problems)).sort((a, b) => (a.key === b.key ? Number(b.own) - Number(a.own) : a.key < b.key ? -1 : 1));
    for (const { file, path, message } of problems) log.warn('driver.left-out', { file, path, message });
  };
  await refresh();
  return {
    all: () => loaded,
    list: () => shown,
    async put(key, text) {
      const parsed = parseDriver(text);
      if ('problems' in parsed) {
        const named = parsed.problems.slice(0, 3).map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
        throw new Fault('bad-input', `this is no driver: ${named}`, { remedy: 'docs/operate/drivers.md has the fields', detail: { problems: parsed.problems } });
      }
      // Also what keeps the file's name in its folder.
      if (!/^[a-z0-9][a-z0-9-]{0,63}$/.test(key) || parsed.driver.key !== key) throw new Fault('bad-input', `the driver's key is ${parsed.driver.key}, and it was sent as ${key.slice(0, 64)}`, { detail: { problems: [{ path: 'key', message: 'is another one' }] } });
      const name = `${key}.json`;
      const others = files.filter((each) => each.own && each.file !== name).length;
      if (others + 1 > limits.driversMax) throw new Fault('too-many', `there are ${others} drivers of your own already`);
      await writeWhole(ownDir, name, text.endsWith('\n') ? text : `${text}\n`);
      // The owner may have put the same driver there by hand, under another name.
      for (const { file, text: given, own } of files) {
        const other = own && file !== name ? parseDriver(given) : null;
        if (other && 'driver' in other && other.driver.key === key) await rm(join(ownDir, file), { force: true });
      }
      await refresh();
      const made = shown.find((each) => each.own && each.key === key);
      if (!made) throw new Fault('internal', 'the driver was written and is not there');
      return made;
    },
    async remove(key) {
      const mine = files.filter(({ file, text, own }) => {
        if (!own) return false;
        const parsed = parseDriver(text);
        return 'driver' in parsed ? parsed.driver.key === key : file === `${key}.json`;
      });
      if (mine.length === 0) throw new Fault('not-found', `you have no driver "${key.slice(0, 64)}" of your own`, { remedy: 'postern drivers lists them' });
      for (const { file } of mine) await rm(join(ownDir, file), { force: true });
      await refresh();
    },
  };
}
