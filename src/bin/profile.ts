// Which gateway the command line speaks to, and as whom. In this order: --data DIR or POSTERN_DATA (the operator on the gateway's own
// machine), POSTERN_URL with POSTERN_TOKEN and POSTERN_CA_FILE, what `postern login` kept, and ./data. Loads next to nothing, because
// `postern connect` reads it for every connection.
import { chmod, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Fault, reasonOf } from '#base/fault.ts';
import { configFolder } from './io.ts';
import type { CommandIo } from './io.ts';

export interface Profile {
  /** `https://gw.example.test:8443` */
  readonly address: string;
  readonly token: string;
  /** The CA to trust instead of the system's. */
  readonly caPem: string | undefined;
  /** For people: where this was found. */
  readonly source: string;
}

type Env = CommandIo['env'];

const profilePath = (env: Env): string => join(configFolder(env), 'profile.json');

/** Faults: `unauthenticated` (nobody has signed in here), `bad-input` (a file that cannot be used). */
export async function readProfile(env: Env, options: { readonly data?: string | undefined } = {}): Promise<Profile> {
  const data = options.data ?? (env['POSTERN_DATA'] || undefined);
  if (data !== undefined) {
    const operator = await readProfileFile(join(data, 'operator.json'));
    if (operator) return operator;
    throw new Fault('unreachable', `there is no operator.json in ${data}: no gateway runs with this data folder`, { remedy: 'Start it, or name another folder with --data.' });
  }
  const kept = env['HOME'] || env['XDG_CONFIG_HOME'] ? await readProfileFile(profilePath(env)) : null;
  const url = env['POSTERN_URL'];
  if (url) return profileOfEnv(env, url, kept);
  if (kept) return env['POSTERN_TOKEN'] ? { ...kept, token: env['POSTERN_TOKEN'] } : kept;
  const operator = await readOwnOperator('data');
  if (operator) return operator;
  throw new Fault('unauthenticated', 'nobody has signed in here yet', { remedy: 'Sign in with: postern login https://GATEWAY   (on the gateway itself: --data DIR)' });
}

async function profileOfEnv(env: Env, url: string, kept: Profile | null): Promise<Profile> {
  const address = /^https?:\/\//.test(url) ? url : `https://${url}`;
  // What was kept for one gateway is never shown to another.
  const same = kept && originOf(kept.address) === originOf(address) ? kept : null;
  const token = env['POSTERN_TOKEN'] || same?.token;
  if (!token) throw new Fault('unauthenticated', `POSTERN_URL names ${address}, but there is no token for it`, { remedy: 'Set POSTERN_TOKEN, or sign in with: postern login' });
  const caFile = env['POSTERN_CA_FILE'];
  let caPem = same?.caPem;
  if (caFile) {
    caPem = await readFile(caFile, 'utf8').catch((cause: unknown) => {
      throw new Fault('bad-input', `POSTERN_CA_FILE ${caFile} cannot be read: ${reasonOf(cause)}`, { cause });
    });
  }
  return { address, token, caPem, source: 'POSTERN_URL' };
}

function originOf(address: string): string {
  return URL.canParse(address) ? new URL(address).origin : address;
}

/** ./data of whatever folder one happens to be in may be someone else's: it counts only when it is ours. */
async function readOwnOperator(folder: string): Promise<Profile | null> {
  const path = join(folder, 'operator.json');
  const about = await stat(path).catch(() => null);
  if (!about || (process.getuid && about.uid !== process.getuid())) return null;
  return readProfileFile(path);
}

async function readProfileFile(path: string): Promise<Profile | null> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Fault('bad-input', `${path} cannot be read: ${reasonOf(cause)}`, { cause });
  }
  try {
    const { address, token, caPem }: Record<string, unknown> = JSON.parse(text);
    if (typeof address === 'string' && typeof token === 'string') return { address, token, caPem: typeof caPem === 'string' ? caPem : undefined, source: path };
  } catch {
    // said below, without the text: it holds a secret
  }
  throw new Fault('bad-input', `${path} is damaged`, { remedy: 'Sign in anew with: postern login' });
}

/** Whole or not at all, readable by its owner alone. Resolves the path. */
export async function writeProfile(env: Env, profile: Pick<Profile, 'address' | 'token' | 'caPem'>): Promise<string> {
  const path = profilePath(env);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const beside = `${path}.${process.pid}.new`;
  try {
    await writeFile(beside, `${JSON.stringify({ address: profile.address, token: profile.token, caPem: profile.caPem ?? null }, null, 2)}\n`, { mode: 0o600 });
    await chmod(beside, 0o600);
    await rename(beside, path);
  } catch (cause) {
    await rm(beside, { force: true });
    throw new Fault('bad-input', `the profile ${path} cannot be written: ${reasonOf(cause)}`, { cause });
  }
  return path;
}

/** What `login` kept; null without. */
export async function readKeptProfile(env: Env): Promise<Profile | null> {
  return readProfileFile(profilePath(env));
}

export async function removeProfile(env: Env): Promise<void> {
  await rm(profilePath(env), { force: true });
}
