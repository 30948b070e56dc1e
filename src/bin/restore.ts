// `postern restore`: a data folder out of a backup. Asks no gateway: the folder must be in nobody's use.
import { resolve } from 'node:path';
import { version } from '#base/about.ts';
import { restoreBackup } from '#store/restore.ts';
import { fillPostgres } from '#store/copy-tables.ts';
import { parsePostgres } from '#store/location.ts';
import { parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatTime, printJson, printLine } from './output.ts';
import { readPassphrase } from './passphrase.ts';
import { openProgress } from './progress.ts';

export const usage = `Usage: postern restore FILE --data DIR [OPTIONS]

Makes a data folder out of a backup. All of it is unpacked and checked first: one that is damaged, cut off or made by a newer Postern
replaces nothing. DIR must be new or empty, and no gateway may use it. Asks no gateway.

      --store URL           the store goes into this PostgreSQL database instead, which must be empty: postgres://USER@HOST/DATABASE
                            (also the way from one database to the other)
      --force               move what is in DIR aside, to DIR.before-restore-…; with --store, empty the database first
      --passphrase-file F   what it was sealed with
      --data DIR            the data folder
      --json                answer as JSON
`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { store: { type: 'string' }, force: { type: 'boolean' }, 'passphrase-file': { type: 'string' } }, { min: 1, max: 1 });
  if (values.data === undefined) throw usageFault('name the data folder with --data DIR');
  const passphrase = await readPassphrase(values['passphrase-file'], false);
  const postgres = values.store === undefined ? null : parsePostgres(values.store, `postern restore ${process.pid}`);
  const progress = openProgress(io);
  const dataDir = resolve(values.data);
  try {
    const { manifest, aside } = await restoreBackup({
      file: resolve(positionals[0]!), dataDir, passphrase, force: values.force === true, nowMs: Date.now(),
      putStore: postgres && ((file) => fillPostgres(file, postgres, { force: values.force === true, nowMs: Date.now(), onProgress: (done, total) => progress.show('filling the database', done, total) })),
      onProgress: (done, total) => progress.show('unpacking', done, total),
    });
    progress.end();
    if (values.json) printJson(io, { ...manifest, dataDir, aside, database: postgres?.shown ?? null });
    else {
      printLine(io, `${dataDir} is the gateway as it was at ${formatTime(manifest.at)}${postgres ? `; its store is ${postgres.shown}` : ''}.`);
      if (aside !== null) printLine(io, `What was there is in ${aside}`);
      if (manifest.version !== version) printLine(io, `It was made by version ${manifest.version}; this is ${version}.`);
      printLine(io, `Start it with: postern serve --data ${dataDir}${postgres ? ' --store …' : ''}`);
    }
    return exitCodes.ok;
  } finally {
    progress.end();
  }
}
