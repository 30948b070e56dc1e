// What the commands for certificates share: files, passphrases that never stand on a command line, and verdicts for people.
import { readFile, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import type { CertificateDetailView, SwapView } from '#api/certificate-shapes.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import { usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatTime, printFacts, printLine } from './output.ts';

export const isInteractive = (io: CommandIo): boolean => 'isTTY' in io.stdin && io.stdin.isTTY === true;

async function readStandardInput(io: CommandIo): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of io.stdin) parts.push(Buffer.from(part as Buffer | string));
  return Buffer.concat(parts);
}

/** `-` is standard input, and can be given once. */
export async function readInput(io: CommandIo, path: string): Promise<Buffer> {
  try {
    return path === '-' ? await readStandardInput(io) : await readFile(path);
  } catch (thrown) {
    throw new Fault('bad-input', `${path} cannot be read: ${reasonOf(thrown)}`);
  }
}

/** To a file, or to standard output. What holds a key is for its owner alone. */
export async function writeOutput(io: CommandIo, path: string | undefined, content: Buffer, holdsKey: boolean): Promise<void> {
  if (path === undefined || path === '-') {
    io.stdout.write(content);
    return;
  }
  try {
    // Never over a file that is there: its mode would stay, and somebody's key with it.
    await writeFile(path, content, { mode: holdsKey ? 0o600 : 0o644, flag: 'wx' });
  } catch (thrown) {
    throw new Fault('bad-input', `${path} cannot be written: ${reasonOf(thrown)}`);
  }
}

/** The first line of the file; undefined: none was named. */
export async function readPassphrase(io: CommandIo, file: string | undefined): Promise<string | undefined> {
  return file === undefined ? undefined : (await readInput(io, file)).toString().split(/\r?\n/, 1)[0];
}

/** At the terminal, without showing it. */
export async function askPassphrase(io: CommandIo, question: string): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: io.stdin, output: silent, terminal: true });
  io.stderr.write(question);
  try {
    return await new Promise<string>((resolve, reject) => {
      const giveUp = () => reject(new Fault('closed', 'given up'));
      lines.once('close', giveUp);
      lines.once('SIGINT', giveUp);
      io.signal.addEventListener('abort', () => lines.close(), { once: true });
      lines.once('line', resolve);
    });
  } finally {
    lines.close();
    io.stderr.write('\n');
  }
}

/** For a file that is written: asked twice. Fault of usage without a terminal. */
export async function newPassphrase(io: CommandIo, file: string | undefined): Promise<string> {
  const given = await readPassphrase(io, file);
  if (given !== undefined) return given;
  if (!isInteractive(io)) throw usageFault('a file that holds keys needs a passphrase: --passphrase-file FILE');
  const first = await askPassphrase(io, 'Passphrase for the file: ');
  if ((await askPassphrase(io, 'Once more: ')) !== first) throw new Fault('bad-input', 'the two are not the same');
  return first;
}

const marks = { error: 'ERROR  ', warning: 'warning', ok: 'ok     ' } as const;

export function printSwap(io: CommandIo, { verdicts, changes, trusts, trustsMore, losing }: SwapView): void {
  for (const { severity, text, remedy } of verdicts) {
    printLine(io, `${marks[severity]}  ${printable(text, 2_000)}`);
    if (remedy !== null) printLine(io, `         > ${printable(remedy, 2_000)}`);
  }
  if (changes.length > 0) printLine(io, '\nWhat changes:');
  for (const { what, before, after } of changes) printLine(io, `  ${what}: ${printable(before ?? 'none', 500)} -> ${printable(after ?? 'none', 500)}`);
  if (trusts.length > 0) printLine(io, '\nWho trusts the one in use:');
  for (const { severity, text, remedy } of trusts) printLine(io, `  ${severity === 'change' ? 'CHANGE' : 'look  '}  ${printable(text, 2_000)}\n          > ${printable(remedy, 2_000)}`);
  if (trustsMore > 0) printLine(io, `  and ${trustsMore} more`);
  if (losing > 0) printLine(io, `\nDevices that pin the key in use and have not confirmed the new one, and that would be shut out for good: ${losing}. postern pins says which.`);
}

export function printCertificate(io: CommandIo, shown: CertificateDetailView): void {
  const { acme, keyPin } = shown;
  printFacts(io, [
    ['name', shown.name],
    ['id', shown.id],
    ['source', shown.source],
    ['state', `${shown.state}${shown.enabled ? '' : ', off'}${shown.requestWaits ? ', its request waits for the answer' : ''}`],
    ['names', [...shown.names.dns, ...shown.names.ip].join(' ')],
    ['subject', shown.subject],
    ['issuer', shown.issuer],
    ['key', shown.keyKind],
    ['valid', shown.notAfter === null ? null : `until ${formatTime(shown.notAfter)}, ${shown.daysLeft} days`],
    ['SHA-256', shown.fingerprint],
    ['key pin', keyPin && keyPin.hex],
    ['key pin, base64', keyPin && keyPin.base64],
    ['chain', shown.chain.slice(1).map((each) => each.subject).join('; ')],
    ['before that', shown.previous && `${shown.previous.subject}, until ${formatTime(shown.previous.notAfter)}`],
    ...(acme === null ? [] : ([['by ACME', `${acme.challenge}, ${acme.directoryUrl}`], ['order', acme.progress && `${acme.progress.state}${acme.progress.why === null ? '' : `: ${acme.progress.why}`}`]] as const)),
    ['last renewal', shown.lastError ?? (shown.renewedAt === null ? null : formatTime(shown.renewedAt))],
    ['alarm', shown.alarm && `${shown.alarm.text}. ${shown.alarm.remedy}`],
  ]);
  for (const { kind, name, detail } of shown.usedBy) printLine(io, `  ${kind} ${printable(name)}${detail === null ? '' : `, ${kind === 'agent' ? 'as' : 'shown to'} ${printable(detail)}`}`);
  if (shown.usedByMore > 0) printLine(io, `  and ${shown.usedByMore} more uses`);
}
