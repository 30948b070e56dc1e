// Composition of what goes on from here: sinks with their targets, alerts, and the secrets that both name.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { Limits } from '#base/limits.ts';
import type { Log } from '#base/log.ts';
import { openAlerts } from '#fleet/alerts.ts';
import { openFilesSink } from '#fleet/sink-files.ts';
import { openSqlSink } from '#fleet/sink-sql.ts';
import { openWebhookSink } from '#fleet/sink-webhook.ts';
import { openSinks, type StoredNews } from '#fleet/sinks.ts';
import type { SinkTarget } from '#fleet/sink-target.ts';
import type { Config, ConfigSink } from '#model/config.ts';
import type { Journal } from '#model/live.ts';
import type { Operations } from '#model/operations.ts';
import { compileParser } from '#model/parsers/compile.ts';
import type { SinkControl } from '#model/sinks.ts';
import type { DataFolder } from '#store/data-folder.ts';
import { openSqlWriter } from '#store/sink-sql.ts';
import { openSecrets, type Secrets } from './secrets.ts';

export interface OutgoingDeps {
  readonly operations: Operations;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly journal: Journal;
  readonly limits: Limits;
  readonly folder: DataFolder;
  readonly config: () => Pick<Config, 'sinks' | 'feeds'>;
  /** Called when the configuration has changed. */
  readonly watchConfig: (onChange: () => void) => () => void;
  readonly customerKey: (id: Id) => string;
}

export interface Outgoing {
  readonly sinks: SinkControl;
  readonly secrets: Secrets;
  /** Something was stored; `alerts` of it were queued. */
  stored(news: StoredNews, alerts: number): void;
  /** For people, at start and in the status. */
  remarks(): readonly string[];
  close(): Promise<void>;
}

export async function openOutgoing(deps: OutgoingDeps): Promise<Outgoing> {
  const { operations, clock, random, log, journal, limits, folder, config, customerKey } = deps;
  const dir = join(folder.path, 'sinks');
  const secrets = await openSecrets({ folder, config, limits, onChanged: (name) => void sinks.reconfigure(name) });
  const secretOf = async (name: string | undefined): Promise<Buffer | null> => {
    if (name === undefined) return null;
    const value = await secrets.read(name);
    if (!value) throw new Fault('not-found', `the secret ${name} is not set`, { remedy: `postern secret set ${name}` });
    return value;
  };
  const nowMs = () => clock.nowMs();

  const openTarget = async (sink: ConfigSink): Promise<SinkTarget> => {
    if (sink.kind === 'files' || sink.kind === 'sql') await mkdir(dir, { recursive: true, mode: 0o700 });
    switch (sink.kind) {
      case 'files':
        return openFilesSink({ sink, dir, nowMs, log, limits });
      case 'webhook':
        return openWebhookSink({ sink, secret: await secretOf(sink.secret), nowMs, limits });
      case 'sql': {
        const password = (await secretOf(sink.secret))?.toString('utf8') ?? null;
        const database = /^postgres(ql)?:\/\//.test(sink.database) ? sink.database : join(dir, sink.database);
        return openSqlSink(await openSqlWriter(database, password, { sink: sink.name, table: sink.table, columns: sink.parser ? compileParser(sink.parser).columns : null, log }), limits);
      }
      case 'nats': {
        // Loaded by those who have one alone.
        const { openNatsSink } = await import('#fleet/sink-nats.ts');
        return openNatsSink({ sink, secret: (await secretOf(sink.secret))?.toString('utf8') ?? null, limits });
      }
      case 'kafka': {
        const { openKafkaSink } = await import('#fleet/sink-kafka.ts');
        return openKafkaSink({ sink, secret: (await secretOf(sink.secret))?.toString('utf8') ?? null, limits });
      }
    }
  };
  const sinks = openSinks({ operations, clock, random, log, journal, limits, config, customerKey, openTarget });
  const alerts = openAlerts({ operations, clock, random, log, journal, limits, config, customerKey, secretOf: (name) => secrets.read(name) });
  await sinks.reconfigure();
  const unwatch = deps.watchConfig(() => void sinks.reconfigure());
  return {
    sinks, secrets,
    stored(news, queued) {
      sinks.wake(news);
      if (queued > 0) alerts.wake();
    },
    remarks: () => secrets.missing(),
    async close() {
      unwatch();
      await Promise.all([sinks.close(), alerts.close()]);
    },
  };
}
