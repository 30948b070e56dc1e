// Durable intake, fsync on: what the store makes of batches against the bare driver with the same rows; what a batch costs through the
// whole gateway; and ten thousand devices that deliver after a power cut.
import { join } from 'node:path';
import { median } from './measure.ts';
import { cpuMs, LOAD_CORE, PROXY_CORE, start } from './processes.ts';

interface Room {
  readonly rounds: number;
  readonly seconds: number;
  report(name: string, figure: number, unit: string, bar: string, met: boolean, detail: string): void;
  progress(text: string): void;
}

interface Cost {
  readonly perSecond: number;
  readonly cpuUs: number;
}
interface StoreLine {
  readonly size: number;
  readonly records: number;
  readonly ours: readonly Cost[];
  readonly bare: readonly Cost[];
}
interface Pushed {
  readonly batches: number;
  readonly delivered: number;
  readonly bytes: number;
  readonly refused: number;
  readonly seconds: number;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly worstMs: number;
}

const node = process.execPath;
const flags = ['--disable-warning=ExperimentalWarning'];
const here = (file: string) => join(import.meta.dirname, file);
const sizes = [150, 3_000, 65_550];
const serialsOf = (count: number) => Array.from({ length: count }, (_, i) => `SN${i}`);

export function buildIntakeBenches(room: Room): Record<string, (originPort: number) => Promise<void>> {
  const storeAlone = async (kind: string, more: object) => {
    const child = await start(PROXY_CORE, node, [...flags, here('intake-store.ts'), JSON.stringify({ rounds: room.rounds, sizes, ...more })], true);
    for (const { size, records, ours, bare } of (child.line as unknown as { found: readonly StoreLine[] }).found) {
      const mine = median(ours.map((each) => each.perSecond));
      const other = median(bare.map((each) => each.perSecond));
      // Round by round: what else the disk did hits neighbours alike.
      const ratio = median(ours.map((each, i) => each.perSecond / bare[i]!.perSecond));
      const cpu = (list: readonly Cost[]) => median(list.map((each) => each.cpuUs));
      room.report(
        `${kind}, batches of ${size} bytes`, ratio, '× the bare driver', '≥ 0.7', ratio >= 0.7,
        `${Math.round(mine)} batches/s, ${Math.round(mine * records)} records/s against ${Math.round(other)} and ${Math.round(other * records)}; CPU ${cpu(ours).toFixed(1)} µs a batch against ${cpu(bare).toFixed(1)}`,
      );
    }
  };

  const push = async (port: number, order: object): Promise<Pushed> => (await start(LOAD_CORE, node, [...flags, here('pushers.ts'), JSON.stringify({ port, connections: 64, batches: 0, seconds: room.seconds, bytes: 150, checkIn: false, ...order })], true)).line as unknown as Pushed;

  const throughGateway = async (kind: string, store: string | undefined) => {
    const gateway = await start(PROXY_CORE, node, [...flags, here('intake-gateway.ts'), JSON.stringify({ devices: 64, ...(store === undefined ? {} : { store }) })], true);
    const port = Number(gateway.line['http']);
    for (const bytes of sizes) {
      const found: { perSecond: number; cpuUs: number; pushed: Pushed }[] = [];
      for (let round = 0; round <= room.rounds; round++) {
        room.progress(`${kind}, ${bytes} bytes: round ${round} of ${room.rounds}`);
        const before = cpuMs(gateway.pid);
        const pushed = await push(port, { serials: serialsOf(64), bytes });
        if (round > 0) found.push({ perSecond: pushed.batches / pushed.seconds, cpuUs: ((cpuMs(gateway.pid) - before) * 1_000) / pushed.batches, pushed });
      }
      room.progress('');
      const perSecond = median(found.map((each) => each.perSecond));
      const records = found[0]!.pushed.bytes / 150;
      room.report(`${kind} over HTTP, batches of ${found[0]!.pushed.bytes} bytes, 64 devices`, perSecond, 'batches/s', 'reported', true, `${Math.round(perSecond * records)} records/s; CPU ${median(found.map((each) => each.cpuUs)).toFixed(0)} µs a batch; p99 ${median(found.map((each) => each.pushed.p99Ms)).toFixed(1)} ms`);
    }
  };

  const storm = async (kind: string, store: string | undefined) => {
    const devices = 10_000;
    const gateway = await start(PROXY_CORE, node, [...flags, here('intake-gateway.ts'), JSON.stringify({ devices, ...(store === undefined ? {} : { store }) })], true);
    const before = (await gateway.ask('state')) as { stored: number; rss: number };
    const pushed = await push(Number(gateway.line['http']), { serials: serialsOf(devices), connections: 1_000, batches: 2, bytes: 15_000, checkIn: true });
    const after = (await gateway.ask('state')) as { stored: number; rss: number; most: number };
    const wanted = devices * 2 * pushed.bytes;
    const lost = wanted - after.stored;
    const mb = (bytes: number) => Math.round(bytes / 1_048_576);
    room.report(
      `${kind}: ${devices} devices after a power cut`, pushed.seconds, 's', 'nothing lost', lost === 0 && pushed.delivered === wanted,
      `each checks in and delivers two batches of ${pushed.bytes} bytes over 1,000 connections; lost ${lost} bytes; ${pushed.refused} told to come again; answers p50 ${pushed.medianMs.toFixed(0)} ms, p99 ${pushed.p99Ms.toFixed(0)} ms, worst ${pushed.worstMs.toFixed(0)} ms; memory ${mb(before.rss)} MB before, ${mb(after.most)} MB at the most`,
    );
  };

  const withPostgres = async (work: (address: () => Promise<string>) => Promise<void>) => {
    const { startPostgres, withoutPostgres } = await import('../test/kit/postgres.ts');
    if (withoutPostgres !== false) return void process.stdout.write('       no PostgreSQL here\n');
    await using server = await startPostgres();
    await work(() => server.makeDatabase());
  };

  return {
    async intake() {
      await storeAlone('SQLite', {});
      await throughGateway('SQLite', undefined);
      await withPostgres(async (address) => {
        await storeAlone('PostgreSQL', { store: await address(), bare: await address() });
        await throughGateway('PostgreSQL', await address());
      });
    },
    async storm() {
      await storm('SQLite', undefined);
      await withPostgres(async (address) => storm('PostgreSQL', await address()));
    },
  };
}
