// The run of redirects: two gateways that send a device to each other and back while its batches are under way and everybody is killed in between.
// Together they have to have each byte once.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '../kit/postgres.ts';
import { postern } from '../kit/processes.ts';
import { Line } from './line.ts';
import { addPushDevice, configure, openAgent, openCopy, openGateway, raise, type Run } from './lives.ts';
import { compareRecords, RecordFile } from './records.ts';
import { missesOf, type Report } from './report.ts';
import { joinStored, readStored } from './stored.ts';

export interface RedirectedOptions {
  readonly seed: string;
  /** Of the first gateway. */
  readonly postgres: PostgresServer | null;
  readonly rounds: number;
}

const settleMaxMs = 90_000;
const waitMaxMs = 12_000;

export async function runRedirected(run: Run, { seed, postgres, rounds }: RedirectedOptions): Promise<Report> {
  const began = performance.now();
  const dice = run.dice.fork('redirects');
  const [hereLines, thereLines]: [Line[], Line[]] = [[], []];
  const here = await openGateway(run, 'here', { lines: hereLines, ...(postgres === null ? {} : { store: await postgres.makeDatabase() }) });
  const key = (await addPushDevice(here.served, 'SN1', true))!;
  const backup = join(run.processes.folder, 'here.backup');
  // The same device with the same key at both: one is made out of the other's backup, before there is any data.
  for (const [args, env] of [[['backup', backup], here.served.env], [['restore', backup, '--data', join(run.processes.folder, 'there')], {}]] as const) {
    const done = await run.processes.run(postern, args, { env });
    if (done.code !== 0) throw new Error(`postern ${args[0]}: ${done.stderr}`);
  }
  const there = await openCopy(run, 'there', join(run.processes.folder, 'there'), thereLines);
  hereLines.push(await Line.open(here.served.httpPort, run.dice.fork('line here')));
  thereLines.push(await Line.open(there.httpPort, run.dice.fork('line there')));
  const lines = [hereLines[0]!, thereLines[0]!] as const;
  run.processes.defer(async () => {
    for (const line of lines) await line[Symbol.asyncDispose]();
  });
  const bases = lines.map((line) => `http://127.0.0.1:${line.port}/v1`) as [string, string];
  const doors = [here.served, { httpPort: there.httpPort, token: here.served.token }] as const;
  const lives = [here.lives, there.lives] as const;
  /** 0: here. */
  const send = async (to: 0 | 1) => {
    for (const at of [0, 1] as const) {
      const other = (1 - at) as 0 | 1;
      await configure(doors[at], {
        servers: [{ name: 'other', base: bases[other], pins: [], weight: 1, drain: 'no' }],
        redirects: at === to ? [] : [{ name: 'all', strategy: 'first', servers: ['other'], ttlSeconds: 10, status: at === 0 ? 307 : 308 }],
      });
    }
  };
  const file = new RecordFile(join(run.processes.folder, 'calls.log'), 'cdr', seed, run.dice.fork('file'));
  run.processes.defer(() => file.close());
  const agent = openAgent(run, 'agent', { serial: 'SN1', key, base: `${bases[0]}/default`, file: file.path, lines: [...lines], buffer: { segmentKilobytes: 64, keptKilobytes: 256 } });
  await agent.startPlain();
  const quiet = new AbortController();
  const feeding = (async () => {
    while (!quiet.signal.aborted && !run.ended.aborted) {
      file.append(dice.chance(0.04) ? dice.between(50, 300) : dice.between(0, 5));
      await sleep(dice.between(10, 80));
    }
  })();
  const misses: string[] = [];
  let to: 0 | 1 = 0;
  for (let round = 0; round < rounds && !run.ended.aborted; round++) {
    to = (1 - to) as 0 | 1;
    // In the middle of a batch to the one that has it now.
    const struck = Promise.withResolvers<void>();
    const disarm = lines[(1 - to) as 0 | 1].arm(dice.pick(['body', 'request', 'answer']), () => {
      raise(run.hits, 'redirect in the middle of a batch');
      struck.resolve();
    });
    await Promise.race([struck.promise, sleep(4_000)]);
    disarm();
    await send(to);
    const pushes = lines[to].counts.pushes;
    const isThere = async () => {
      const over = performance.now() + waitMaxMs;
      while (lines[to].counts.pushes === pushes && performance.now() < over) await sleep(50);
      return lines[to].counts.pushes > pushes;
    };
    if (await isThere()) raise(run.hits, to === 1 ? 'redirected there' : 'redirected back');
    const victim = dice.pick(['here', 'there', 'agent', 'nobody'] as const);
    if (victim === 'agent') {
      await agent.kill();
      await agent.startPlain();
    } else if (victim !== 'nobody') {
      const struckLives = lives[victim === 'here' ? 0 : 1];
      await struckLives.kill();
      await sleep(dice.between(0, 500));
      await struckLives.startPlain();
    }
    raise(run.hits, `then killed: ${victim}`);
  }
  quiet.abort();
  await feeding;
  for (const line of lines) line.calm();
  file.append(20);
  file.finish();
  // What is left is not to wait for the end of a pause that the faults have made long.
  await agent.kill();
  await agent.startPlain();
  const joined = async () => joinStored([await readStored(here.place, 'SN1', 'cdr'), await readStored(there.place, 'SN1', 'cdr')]);
  const over = performance.now() + settleMaxMs;
  let now = await joined();
  while (new Set(now.records.map(({ text }) => text)).size < file.made && performance.now() < over && !run.ended.aborted) {
    await sleep(300);
    now = await joined();
  }
  if (now.records.length < file.made) run.say(`what the agent said last:\n${agent.process?.stderr.slice(-6_000)}`);
  await agent.stop();
  now = await joined();
  for (const each of lives) await each.stop();
  const compared = compareRecords(seed, 'cdr', file.made, now.records);
  misses.push(...now.faults, ...missesOf(compared));
  for (const name of ['redirected there', 'redirected back', 'redirect in the middle of a batch']) if (!run.hits.has(name)) misses.push(`never came to pass: ${name}`);
  return {
    name: 'redirects', seed, store: postgres === null ? 'sqlite' : 'postgres', seconds: Math.round((performance.now() - began) / 1_000), compared: [compared], misses,
    gaps: now.gaps, twice: now.twice, repeats: now.repeats, epochs: now.epochs, hits: run.hits, busyHits: run.busyHits, lines: lines.map(({ counts }) => counts),
    lives: { here: here.lives.lives, there: there.lives.lives, agent: agent.lives },
  };
}
