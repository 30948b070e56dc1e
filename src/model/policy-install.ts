// The lines of a local policy by which certificates may be put in place, and the commands that are run for it:
//   install certificate NAME cert=/PATH key=/PATH [pfx=/PATH passphrase=/PATH] [mode=0640] [owner=UID:GID] run=COMMAND
//   run COMMAND = /ABSOLUTE/PROGRAM ARGUMENT …
// Words are separated by spaces, and nothing is quoted: no shell ever sees them.

/** What one certificate of the gateway may become on this machine. */
export interface CertificateRule {
  /** As the gateway calls it. */
  readonly name: string;
  /** Absolute paths: the chain (leaf first) and its key, PEM. */
  readonly cert: string;
  readonly key: string;
  /** PKCS#12 with both, and the file whose first line is its passphrase: both or neither. */
  readonly pfx: string | null;
  readonly passphrase: string | null;
  /** Of what holds the key. */
  readonly mode: number;
  /** Of all files; null: whoever runs the agent. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
  /** A command of the policy, run when the files have changed. */
  readonly run: string;
}

const nameForm = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$/;
const modes: Readonly<Record<string, number>> = { '0400': 0o400, '0440': 0o440, '0600': 0o600, '0640': 0o640 };
const idMax = 0x7fff_ffff;
const pathCharsMax = 1_024;
/** Folders of ours beside the files, with their versions. */
export const versionsPrefix = '.postern-';

const pathFields = ['cert', 'key', 'pfx', 'passphrase'] as const;
const fields: ReadonlySet<string> = new Set([...pathFields, 'mode', 'owner', 'run']);

/** Whether a certificate may be called so at an agent. */
export const isInstallName = (name: string): boolean => nameForm.test(name);

/** Why the path is none for a file of the policy; null: it is one. */
function pathRefusal(field: string, path: string): string | null {
  if (!path.startsWith('/') || path.endsWith('/') || path.length > pathCharsMax) return `says ${field}="${path.slice(0, 80)}", which is no absolute path of a file`;
  const parts = path.slice(1).split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) return `says ${field}="${path.slice(0, 80)}"; write the path without //, . and ..`;
  if (parts.some((part) => part.startsWith(versionsPrefix))) return `says ${field}="${path.slice(0, 80)}"; names that begin with ${versionsPrefix} are the agent's own`;
  return null;
}

/** The words behind `install certificate`; a text says what is wrong with them. */
export function parseCertificateRule([name, ...settings]: readonly string[]): CertificateRule | string {
  if (name === undefined || !nameForm.test(name)) return 'names no certificate; a name has 1–100 letters, digits, dots, hyphens and underscores';
  const given = new Map<string, string>();
  for (const setting of settings) {
    const [, field = '', value = ''] = /^([a-z]+)=(.+)$/.exec(setting) ?? [];
    if (!fields.has(field)) return `has "${setting.slice(0, 80)}", which is none of cert=, key=, pfx=, passphrase=, mode=, owner=, run=`;
    if (given.has(field)) return `says ${field}= twice`;
    given.set(field, value);
  }
  for (const field of ['cert', 'key', 'run']) if (!given.has(field)) return `says no ${field}=`;
  if (given.has('pfx') !== given.has('passphrase')) return 'needs pfx= and passphrase= together: a file with the key in it is kept under a passphrase, which a file of yours holds';
  for (const field of pathFields) {
    const refusal = given.has(field) ? pathRefusal(field, given.get(field)!) : null;
    if (refusal !== null) return refusal;
  }
  const paths = pathFields.flatMap((field) => given.get(field) ?? []);
  if (new Set(paths).size < paths.length) return 'names one file for two things';
  const mode = modes[given.get('mode') ?? '0600'];
  if (mode === undefined) return `says mode=${given.get('mode')!.slice(0, 20)}; a key is 0400, 0440, 0600 or 0640`;
  const owner = /^(\d{1,10}):(\d{1,10})$/.exec(given.get('owner') ?? '0:0');
  if (!owner || Number(owner[1]) > idMax || Number(owner[2]) > idMax) return `says owner=${given.get('owner')!.slice(0, 40)}; write numbers, as id -u and id -g tell them: owner=33:33`;
  return {
    name, mode,
    cert: given.get('cert')!,
    key: given.get('key')!,
    pfx: given.get('pfx') ?? null,
    passphrase: given.get('passphrase') ?? null,
    owner: given.has('owner') ? { uid: Number(owner[1]), gid: Number(owner[2]) } : null,
    run: given.get('run')!,
  };
}

/** What is wrong with a rule beside the others and the commands; null: nothing. */
export function ruleRefusal(rule: CertificateRule, before: Iterable<CertificateRule>, commands: { has(name: string): boolean }): string | null {
  if (!commands.has(rule.run)) return `runs "${rule.run}", and no line says what that is; add: run ${rule.run} = /usr/bin/…`;
  const mine = writtenBy(rule);
  for (const other of before) {
    if (other.name === rule.name) return `names the certificate "${rule.name}" a second time`;
    const both = writtenBy(other).find((path) => mine.includes(path));
    if (both !== undefined) return `writes ${both}, as the line of "${other.name}" does`;
  }
  return null;
}

/** The files that are written for a rule. */
export const writtenBy = ({ cert, key, pfx }: CertificateRule): readonly string[] => [cert, key, ...(pfx === null ? [] : [pfx])];

/** The words behind `run`: the program and its arguments by the command's name; a text says what is wrong. */
export function parseCommand([name, ...rest]: readonly string[]): { readonly name: string; readonly command: readonly string[] } | string {
  const command = rest[0] === '=' ? rest.slice(1) : rest;
  if (name === undefined || command.length === 0) return 'needs a name and a command';
  if (!nameForm.test(name)) return `has "${name.slice(0, 80)}" for a name; use letters, digits, dots, hyphens and underscores`;
  const refusal = pathRefusal('the program', command[0]!);
  return refusal === null ? { name, command } : `${refusal}: no PATH is searched, and no shell is asked`;
}

/** Lines that would allow it, for the refusal's text: which files they are only the machine's owner knows. */
export function lineToInstall(name: string): string {
  return `install certificate ${name} cert=/PATH/fullchain.pem key=/PATH/privkey.pem run=reload (and what reload means, as in: run reload = /usr/sbin/nginx -s reload)`;
}
