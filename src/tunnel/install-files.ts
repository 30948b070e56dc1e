// A certificate's files as an application server reads them, changed all at once.
//
//   /etc/web/fullchain.pem -> .postern-web/current/cert.pem        made once, and never changed again
//   /etc/web/privkey.pem   -> .postern-web/current/key.pem
//   /etc/web/.postern-web/current -> v-3f2a…                       renamed over: the one moment at which everything changes
//   /etc/web/.postern-web/good    -> v-91bc…                       the version whose command succeeded, or what was there before
//
// Two files cannot be renamed in one step; one link can. Whatever is interrupted wherever (kill -9, power), each path leads to the old pair or to the new one.
// A path that is an ordinary file at first is taken over so: its content is copied into a version, `current` leads there, and only then the path becomes a link to what it was.
import { chmod, chown, lstat, mkdir, open, readdir, readFile, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { versionsPrefix } from '#model/policy-install.ts';
import type { CertificateRule } from '#model/policy-install.ts';

/** The three contents; `pfx` where the rule names a file for it. */
export interface Contents {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly pfx: Buffer | null;
}

type Part = keyof Contents;
const nameOf: Readonly<Record<Part, string>> = { cert: 'cert.pem', key: 'key.pem', pfx: 'bundle.pfx' };
const fileBytesMax = 1024 * 1024;
const versionForm = /^v-[0-9a-f]{16}$/;
const currentName = 'current';
const goodName = 'good';
const sharedMode = 0o644;

export interface InstalledFiles {
  /** What the paths lead to, if it is whole and its command succeeded; null otherwise. */
  readGood(): Promise<{ readonly cert: Buffer; readonly key: Buffer; readonly pfx: Buffer | null } | null>;
  /** All paths lead to the new contents when it resolves, durably. What was there before is kept. */
  switchTo(contents: Contents): Promise<void>;
  /** The new contents stay: the others go. */
  settle(): Promise<void>;
  /** Back to what was there before; where nothing was, nothing is. */
  goBack(): Promise<void>;
}

/** Faults `internal` when files cannot be read or written, with what to do. */
export function openInstalledFiles(rule: CertificateRule, random: Random): InstalledFiles {
  const store = join(dirname(rule.key), `${versionsPrefix}${rule.name}`);
  const parts: readonly { readonly part: Part; readonly path: string }[] = [
    { part: 'cert', path: rule.cert },
    { part: 'key', path: rule.key },
    ...(rule.pfx === null ? [] : [{ part: 'pfx' as const, path: rule.pfx }]),
  ];
  /** Relative beside its folder, so that it holds where the folder is mounted elsewhere (a container). */
  const linkOf = (part: Part, path: string) => join(dirname(path) === dirname(store) ? `${versionsPrefix}${rule.name}` : store, currentName, nameOf[part]);
  const isLinked = async ({ part, path }: (typeof parts)[number]) => (await readLink(path)) === linkOf(part, path);
  const versionOf = async (name: string) => {
    const version = await readLink(join(store, name));
    return version !== null && versionForm.test(version) ? version : null;
  };

  const writeVersion = async (contents: Readonly<Partial<Record<Part, { readonly bytes: Buffer; readonly mode: number; readonly owner: CertificateRule['owner'] }>>>): Promise<string> => {
    const version = `v-${random(8).toString('hex')}`;
    const folder = join(store, version);
    await mkdir(folder, { mode: 0o755 });
    await chmod(folder, 0o755); // whatever the umask is: the server's user passes through
    for (const part of Object.keys(contents) as Part[]) {
      const { bytes, mode, owner } = contents[part]!;
      await writeFile(join(folder, nameOf[part]), bytes, mode, owner);
    }
    await syncFolder(folder);
    await syncFolder(store);
    return version;
  };

  const point = (name: string, version: string) => replaceByLink(join(store, name), version);

  /** What the paths lead to becomes a version, and the paths links to it. At no moment does one read otherwise than before. */
  const takeOver = async () => {
    const found: Partial<Record<Part, { bytes: Buffer; mode: number; owner: CertificateRule['owner'] }>> = {};
    for (const { part, path } of parts) {
      const seen = await readOptional(path);
      // Only root can give a file to another user; a copy that the agent may read is then its own.
      if (seen !== null) found[part] = { ...seen, owner: process.getuid?.() === 0 ? seen.owner : null };
    }
    if (Object.keys(found).length > 0) {
      const version = await writeVersion(found);
      await point(goodName, version);
      await point(currentName, version);
    } else {
      await removeLink(store, goodName);
      await removeLink(store, currentName);
    }
    for (const each of parts) if (!(await isLinked(each))) await replaceByLink(each.path, linkOf(each.part, each.path));
  };

  /** Who could put a folder of his own there could have keys written into it. */
  const mustBeOurs = async () => {
    const found = await lstat(store);
    if (!found.isDirectory() || (process.getuid !== undefined && found.uid !== process.getuid())) throw new Fault('conflict', `${store} is not a folder of the agent's own`, { remedy: 'Remove it, and see who else may write there.' });
  };

  const clean = async () => {
    const kept = new Set([await versionOf(currentName), await versionOf(goodName)]);
    for (const name of await readdir(store)) if (versionForm.test(name) && !kept.has(name)) await rm(join(store, name), { recursive: true, force: true });
  };

  return {
    readGood: () =>
      told(rule, async () => {
        const version = await versionOf(currentName);
        if (version === null || version !== (await versionOf(goodName))) return null;
        const read: Record<Part, Buffer | null> = { cert: null, key: null, pfx: null };
        for (const each of parts) {
          if (!(await isLinked(each))) return null;
          const seen = await readOptional(each.path);
          // A policy that asks for other rights asks for other files.
          if (seen === null || (each.part !== 'cert' && seen.mode !== rule.mode)) return null;
          read[each.part] = seen.bytes;
        }
        return { cert: read.cert!, key: read.key!, pfx: read.pfx };
      }),
    switchTo: (contents) =>
      told(rule, async () => {
        await mkdir(store, { mode: 0o755 }).catch((thrown: NodeJS.ErrnoException) => (thrown.code === 'EEXIST' ? undefined : Promise.reject(thrown)));
        await mustBeOurs();
        await chmod(store, 0o755);
        await syncFolder(dirname(store));
        // What another run left behind was never pointed to, or is not any more.
        await clean();
        let isOurs = true;
        for (const each of parts) isOurs &&= await isLinked(each);
        if (!isOurs) await takeOver();
        const { owner, mode } = rule;
        const version = await writeVersion({
          cert: { bytes: contents.cert, mode: sharedMode, owner },
          key: { bytes: contents.key, mode, owner },
          ...(contents.pfx === null ? {} : { pfx: { bytes: contents.pfx, mode, owner } }),
        });
        await point(currentName, version);
      }),
    settle: () =>
      told(rule, async () => {
        const version = await versionOf(currentName);
        if (version !== null) await point(goodName, version);
        await clean();
      }),
    goBack: () =>
      told(rule, async () => {
        await mustBeOurs();
        const good = await versionOf(goodName);
        if (good !== null) await point(currentName, good);
        else {
          await removeLink(store, currentName);
          for (const each of parts) if (await isLinked(each)) await rm(each.path, { force: true });
        }
        await clean();
      }),
  };
}

/** A failure of the file system says which lines of the policy and which rights it is about. */
async function told<Value>(rule: CertificateRule, work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (thrown) {
    if (isFault(thrown)) throw thrown;
    const isRight = ['EACCES', 'EPERM', 'EROFS'].includes((thrown as NodeJS.ErrnoException).code ?? '');
    throw new Fault('internal', `the files of certificate ${rule.name} cannot be put in place: ${reasonOf(thrown)}`, {
      ...(isRight ? { remedy: `Let the user of the agent write to ${dirname(rule.key)} and to the folders of the other files; under systemd with ReadWritePaths=.` } : {}),
      cause: thrown,
    });
  }
}

async function readLink(path: string): Promise<string | null> {
  try {
    return await readlink(path);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    // EINVAL: it is there, but no link.
    if (code === 'ENOENT' || code === 'EINVAL' || code === 'ENOTDIR') return null;
    throw thrown;
  }
}

/** A file's content and to whom it belongs; null: there is none, or it leads nowhere. */
async function readOptional(path: string): Promise<{ bytes: Buffer; mode: number; owner: { uid: number; gid: number } } | null> {
  try {
    const { uid, gid, mode, size } = await stat(path);
    if (size > fileBytesMax) throw new Fault('too-large', `${path} is larger than ${fileBytesMax / 1024} KiB: it is no certificate and no key`);
    return { bytes: await readFile(path), mode: mode & 0o777, owner: { uid, gid } };
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw thrown;
  }
}

async function writeFile(path: string, bytes: Buffer, mode: number, owner: CertificateRule['owner']): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(bytes);
    const mine = await file.stat();
    if (owner !== null && (owner.uid !== mine.uid || owner.gid !== mine.gid)) await chown(path, owner.uid, owner.gid);
    await file.chmod(mode);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** In one step, whether there was nothing, a file or a link. */
async function replaceByLink(path: string, target: string): Promise<void> {
  const found = await lstat(path).catch((thrown: NodeJS.ErrnoException) => (thrown.code === 'ENOENT' ? null : Promise.reject(thrown)));
  if (found?.isDirectory()) throw new Fault('conflict', `${path} is a folder`);
  const next = `${path}.postern-new`;
  await rm(next, { force: true });
  await symlink(target, next);
  await rename(next, path);
  await syncFolder(dirname(path));
}

async function removeLink(folder: string, name: string): Promise<void> {
  await rm(join(folder, name), { force: true });
  await syncFolder(folder);
}

async function syncFolder(folder: string): Promise<void> {
  const entry = await open(folder, 'r');
  try {
    await entry.sync();
  } finally {
    await entry.close();
  }
}
