// `postern backup`: everything of a running gateway into one file, through the API. What comes is held against its digests while it comes.
import { randomBytes } from 'node:crypto';
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { PassThrough } from 'node:stream';
import { once } from 'node:events';
import type { Client } from '#api/client.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { BackupManifest } from '#model/keeping.ts';
import { lookOnly, openBackupStream, readBackup } from '#store/backup-read.ts';
import { syncFolder } from '#store/private-file.ts';
import { buildSealer } from '#wire/sealed.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatBytes, formatTime, printJson, printLine } from './output.ts';
import { readPassphrase } from './passphrase.ts';
import { openProgress } from './progress.ts';

export const usage = `Usage: postern backup FILE [OPTIONS]

Backs up the running gateway: its store as it is at one moment, the CA, the keys of certificates, files. Nobody has to wait. The file
is a gzip'd tar: tar tzf FILE lists it, and postern restore takes it. It holds every secret of the gateway.

      --passphrase-file F   seal it with the first line of this file; without it, it cannot be restored
      --force               replace FILE if it is there
${commonUsage}`;

const lookEveryMs = 400;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { 'passphrase-file': { type: 'string' }, force: { type: 'boolean' } }, { min: 1, max: 1 });
  const file = resolve(positionals[0]!);
  if (!values.force && (await stat(file).catch(() => null))) throw new Fault('conflict', `${file} is there already`, { remedy: 'Take another name, or --force.' });
  const passphrase = await readPassphrase(values['passphrase-file'], true);
  using client = await openGateway(io, values);
  const part = `${file}.part`;
  let done: { manifest: BackupManifest; bytes: number };
  try {
    done = await fetchInto(part, client, passphrase, io);
    await rename(part, file);
    await syncFolder(dirname(file));
  } catch (thrown) {
    await rm(part, { force: true });
    throw thrown;
  }
  const { manifest, bytes } = done;
  if (values.json) printJson(io, { ...manifest, file, bytes, sealed: passphrase !== null });
  else printLine(io, `${file}: ${formatBytes(bytes)}, the gateway as it was at ${formatTime(manifest.at)}, whole${passphrase === null ? '' : ' and sealed'}.`);
  if (passphrase === null) io.stderr.write("It holds the gateway's keys and everybody's rights: keep it as closely as the data folder, or seal it with --passphrase-file.\n");
  return exitCodes.ok;
}

async function fetchInto(part: string, client: Client, passphrase: string | null, io: CommandIo): Promise<{ manifest: BackupManifest; bytes: number }> {
  const sealer = passphrase === null ? null : buildSealer(passphrase, (bytes) => randomBytes(bytes));
  const output = await create(part);
  const watching = watchProgress(client, io);
  const looked = new PassThrough({ highWaterMark: 1024 * 1024 });
  const checking = readBackup(openBackupStream(looked), lookOnly);
  // Heard where it is awaited; until then it must not end the process.
  checking.catch(() => {});
  let bytes = 0;
  const write = async (piece: Buffer) => {
    bytes += piece.length;
    await output.writeFile(piece).catch((cause: unknown) => {
      throw new Fault('busy', `${part} cannot be written: ${reasonOf(cause)}`, { cause });
    });
  };
  try {
    const pieces = await client.download('makeBackup', io.signal);
    if (sealer) await write(sealer.head);
    for await (const piece of pieces) {
      await write(sealer ? sealer.push(piece) : piece);
      if (!looked.destroyed && !looked.write(piece)) await Promise.race([once(looked, 'drain'), once(looked, 'close')]);
    }
    looked.end();
    if (sealer) await write(sealer.finish());
    const manifest = await checking;
    await output.sync();
    return { manifest, bytes };
  } finally {
    looked.destroy();
    await watching.end();
    await output.close();
  }
}

function create(path: string): Promise<FileHandle> {
  return open(path, 'w', 0o600).then(async (file) => {
    // One that was left behind keeps its mode.
    await file.chmod(0o600);
    return file;
  }, (cause: unknown) => {
    throw new Fault('bad-input', `${path} cannot be written: ${reasonOf(cause)}`, { cause });
  });
}

/** What comes says nothing of how much there is; the gateway is asked for that. */
function watchProgress(client: Client, io: CommandIo): { end(): Promise<void> } {
  if (!io.isTerminal) return { end: async () => {} };
  const progress = openProgress(io);
  let asking: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    asking = client.call('getBackup', { signal: io.signal }).then(
      ({ running }) => running && progress.show(running.phase === 'copying' ? 'copying the store' : 'fetching', running.done, running.total),
      () => {},
    ) as Promise<void>;
  }, lookEveryMs);
  return {
    async end() {
      clearInterval(timer);
      await asking;
      progress.end();
    },
  };
}
