// The run of faults: a gateway, our agent with a file and a TCP source, and the shell client, all of them killed at every named point and in between, over bad
// lines; then quiet, and everything that was made has to be there once.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '../kit/postgres.ts';
import { startDatabaseLine } from '../kit/postgres-line.ts';
import { freePort } from '../kit/processes.ts';
import { Line } from './line.ts';
import { addPushDevice, nameOf, openAgent, openGateway, raise, runShell, type Gateway, type Lives, type Run, type Step } from './lives.ts';
import { clientFailures, clientPoints, rareServerPoints, serverFailures, serverPoints } from './points.ts';
import { compareRecords, RecordFile, type Compared } from './records.ts';
import { missesOf, type Report } from './report.ts';
import { countBytes, countRecords, joinStored, readStored } from './stored.ts';
import { TcpSender } from './tcp-sender.ts';

export interface FaultsOptions {
  readonly seed: string;
  /** null: SQLite. */
  readonly postgres: PostgresServer | null;
  /** At least so long, and until each step came to pass. */
  readonly forMs: number;
  /** Those too that take megabytes. */
  readonly long: boolean;
  readonly onMinute?: (counts: string) => void;
}

const triesMax = 6;
const settleMaxMs = 120_000;
const shellKilled = 'shell client: killed';

const pointSteps = (points: readonly (typeof serverPoints)[number][]): Step[] => points.map((point) => ({ kind: 'point', point }));

function gatewaySteps(options: FaultsOptions, database: Step[]): Step[] {
  return [
    ...(options.postgres === null ? pointSteps([...serverPoints, ...serverFailures, ...(options.long ? rareServerPoints : [])]) : database),
    { kind: 'moment', name: 'server: while a batch arrives', moment: 'body' },
    { kind: 'moment', name: 'server: when it has the batch whole', moment: 'request' },
    { kind: 'moment', name: 'server: while the answer is written', moment: 'answer' },
    { kind: 'moment', name: 'server: after the answer', moment: 'answered' },
    { kind: 'clock', name: 'server: its clock jumps' },
    { kind: 'ask-to-end', name: 'server: asked to end' },
    { kind: 'kill', name: 'server: killed at random' },
  ];
}

const agentSteps: readonly Step[] = [
  ...pointSteps([...clientPoints, ...clientFailures]),
  { kind: 'moment', name: 'client: while it sends a batch', moment: 'body' },
  { kind: 'moment', name: 'client: before it gets the answer', moment: 'answer' },
  { kind: 'moment', name: 'client: when it has the answer', moment: 'answered' },
  { kind: 'clock', name: 'client: its clock jumps' },
  { kind: 'ask-to-end', name: 'client: asked to end' },
  { kind: 'kill', name: 'client: killed at random' },
];

/** The server and the way to it: killed, cut just before and just behind a commit. */
async function databaseSteps(run: Run, server: PostgresServer, store: string): Promise<{ steps: Step[]; store: string }> {
  const line = await startDatabaseLine(server.port);
  run.processes.defer(() => line[Symbol.asyncDispose]());
  const cut = (where: 'before' | 'behind'): Step => ({
    kind: 'deed',
    name: `database: cut ${where} a commit, then the gateway killed`,
    async run() {
      const cuts = line.cuts;
      line.cutAtCommit(where);
      for (let waited = 0; waited < 100 && line.cuts === cuts; waited++) await sleep(50);
      line.cutAtCommit(null);
      return line.cuts > cuts;
    },
  });
  const ended = (how: 'kill' | 'immediate'): Step => ({
    kind: 'deed',
    name: `database: its server ends (${how})`,
    async run(dice) {
      await sleep(dice.between(300, 1_000));
      await server.stop(how);
      await sleep(dice.between(0, 800));
      await server.start();
      await sleep(dice.between(500, 2_000));
      return true;
    },
  });
  return { steps: [cut('before'), cut('behind'), ended('kill'), ended('immediate')], store: store.replace(`:${server.port}/`, `:${line.port}/`) };
}

/** Every step until it came to pass; answers those that never did. */
async function liveEach(run: Run, lives: Lives, steps: readonly Step[]): Promise<string[]> {
  const dice = run.dice.fork(`steps ${nameOf(steps[0]!)}`);
  const missed: string[] = [];
  for (const step of dice.shuffle(steps)) {
    let isHit = false;
    for (let tries = 0; tries < triesMax && !isHit && !run.ended.aborted; tries++) isHit = await lives.live(step);
    if (!isHit) missed.push(nameOf(step));
  }
  return missed;
}

async function liveByChance(run: Run, lives: Lives, steps: readonly Step[], isOver: () => boolean): Promise<void> {
  const dice = run.dice.fork(`chance ${nameOf(steps[0]!)}`);
  while (!isOver() && !run.ended.aborted) await lives.live(dice.pick(steps));
}

/** All of the gateway's, while the agent is killed now and then; all of the agent's, while the gateway is there; then both as it comes. */
async function liveAll(run: Run, gateway: Lives, agent: Lives, steps: { readonly gateway: readonly Step[]; readonly agent: readonly Step[] }, isTimeOver: () => boolean): Promise<string[]> {
  let isDone = false;
  const first = liveEach(run, gateway, steps.gateway).finally(() => (isDone = true));
  const [missed] = await Promise.all([first, liveByChance(run, agent, [{ kind: 'kill', name: 'client: killed at random' }], () => isDone)]);
  await gateway.startPlain();
  missed.push(...(await liveEach(run, agent, steps.agent)));
  await gateway.kill();
  await Promise.all([liveByChance(run, gateway, steps.gateway, isTimeOver), liveByChance(run, agent, steps.agent, isTimeOver)]);
  return missed;
}

interface Devices {
  readonly file: RecordFile;
  readonly shellFile: RecordFile;
  readonly sender: TcpSender;
}

async function feedThem(run: Run, { file, shellFile, sender }: Devices, isOver: () => boolean): Promise<void> {
  const dice = run.dice.fork('feeder');
  while (!isOver() && !run.ended.aborted) {
    file.append(dice.chance(0.03) ? dice.between(100, 600) : dice.between(0, 6));
    shellFile.append(dice.chance(0.03) ? dice.between(50, 200) : dice.between(0, 3));
    sender.send(dice.between(0, 4));
    await sleep(dice.between(5, 60));
  }
}

async function shellLoop(run: Run, base: string, file: string, isOver: () => boolean): Promise<void> {
  const dice = run.dice.fork('shell');
  while (!isOver() && !run.ended.aborted) {
    const { code, stderr } = await runShell(run, { serial: 'SN2', base, file }, dice.between(50, 2_500));
    if (code === null) raise(run.hits, shellKilled);
    else if (code !== 0) throw new Error(`examples/push.sh ended with ${code}: ${stderr}`);
    await sleep(dice.between(10, 200));
  }
}

async function untilStored(run: Run, what: string, isSo: () => Promise<boolean>): Promise<void> {
  const over = performance.now() + settleMaxMs;
  while (!(await isSo())) {
    if (performance.now() > over || run.ended.aborted) {
      run.say(`${what}: not within ${settleMaxMs / 1_000} s`);
      return;
    }
    await sleep(200);
  }
}

/** Everything runs and nothing breaks. */
async function settle(run: Run, gateway: Gateway, agent: Lives, lines: readonly Line[], devices: Devices, base: string): Promise<void> {
  for (const line of lines) line.calm();
  for (const file of [devices.file, devices.shellFile]) file.finish();
  await gateway.lives.startPlain();
  await agent.startPlain();
  const bring = async () => {
    const shell = await runShell(run, { serial: 'SN2', base, file: devices.shellFile.path }, settleMaxMs);
    if (shell.code !== 0) run.say(`examples/push.sh ended with ${shell.code}: ${shell.stderr}`);
    await untilStored(run, 'the records of the file', async () => (await countRecords(gateway.place, 'SN1', 'cdr')) >= devices.file.made);
    await untilStored(run, 'the bytes of the shell client', async () => (await countBytes(gateway.place, 'SN2', 'cdr')) >= devices.shellFile.bytes);
  };
  await bring();
  // What is new goes through as well.
  devices.file.append(20);
  devices.shellFile.append(20);
  for (const file of [devices.file, devices.shellFile]) file.finish();
  for (let tries = 0; tries < 100 && devices.sender.made === 0; tries++) {
    devices.sender.send(20);
    await sleep(50);
  }
  await devices.sender.end();
  await bring();
  await agent.stop();
}

export async function runFaults(run: Run, options: FaultsOptions): Promise<Report> {
  const { seed, postgres } = options;
  const began = performance.now();
  const lines: Line[] = [];
  const database = postgres === null ? null : await databaseSteps(run, postgres, await postgres.makeDatabase());
  const gateway = await openGateway(run, 'gateway', { lines, ...(database === null ? {} : { store: database.store }) });
  for (const name of ['agent', 'shell']) {
    const line = await Line.open(gateway.served.httpPort, run.dice.fork(`line ${name}`));
    run.processes.defer(() => line[Symbol.asyncDispose]());
    lines.push(line);
  }
  const [base, shellBase] = lines.map((line) => `http://127.0.0.1:${line.port}/v1/default`) as [string, string];
  const key = (await addPushDevice(gateway.served, 'SN1', true))!;
  await addPushDevice(gateway.served, 'SN2', false);
  const devices: Devices = {
    file: new RecordFile(join(run.processes.folder, 'calls.log'), 'cdr', seed, run.dice.fork('file')),
    shellFile: new RecordFile(join(run.processes.folder, 'shell.log'), 'shell', seed, run.dice.fork('shell file')),
    sender: new TcpSender(await freePort(), seed),
  };
  run.processes.defer(() => [devices.file, devices.shellFile].forEach((file) => file.close()));
  const agent = openAgent(run, 'agent', { serial: 'SN1', key, base, file: devices.file.path, tcpPort: devices.sender.port, buffer: { segmentKilobytes: 64, keptKilobytes: 64 }, lines: lines.slice(0, 1) });
  const minute = setInterval(() => options.onMinute?.(`made ${devices.file.made} + ${devices.sender.made} + ${devices.shellFile.made}, lives: gateway ${gateway.lives.lives}, agent ${agent.lives}, hits ${[...run.hits.values()].reduce((sum, count) => sum + count, 0)}, pushes ${lines.reduce((sum, line) => sum + line.counts.pushes, 0)}`), 60_000);
  let missed: string[];
  let isQuiet = false;
  try {
    const [feeding, shelling] = [feedThem(run, devices, () => isQuiet), shellLoop(run, shellBase, devices.shellFile.path, () => isQuiet)];
    for (const each of [feeding, shelling]) each.catch(() => {});
    // The agent's own disk knows nothing of the gateway's store: where time is short, its points are for one of the two.
    const ofAgent = postgres === null || options.long ? agentSteps : agentSteps.filter(({ kind }) => kind === 'moment');
    const steps = { gateway: gatewaySteps(options, database?.steps ?? []), agent: ofAgent };
    missed = await liveAll(run, gateway.lives, agent, steps, () => performance.now() - began > options.forMs);
    isQuiet = true;
    await Promise.all([feeding, shelling]);
    await settle(run, gateway, agent, lines, devices, shellBase);
  } finally {
    isQuiet = true;
    clearInterval(minute);
  }
  const misses = missed.map((name) => `never came to pass: ${name}`);
  const joined = await Promise.all((['SN1 cdr', 'SN2 cdr', 'SN1 tcp'] as const).map(async (name) => joinStored([await readStored(gateway.place, ...(name.split(' ') as [string, string]))])));
  const compared: Compared[] = [
    compareRecords(seed, 'cdr', devices.file.made, joined[0]!.records),
    compareRecords(seed, 'shell', devices.shellFile.made, joined[1]!.records),
    // Held against `mayMiss` below: nobody acknowledges there.
    { ...compareRecords(seed, 'tcp', devices.sender.made, joined[2]!.records), feed: 'tcp (missing alone what was sent within 10 s before the agent was killed)' },
  ];
  await gateway.lives.stop();
  misses.push(...joined.flatMap(({ faults }) => faults), ...missesOf(compared[0]!), ...missesOf(compared[1]!), ...missesOf(compared[2]!, (number) => devices.sender.mayMiss(number)));
  const repeats = joined.reduce((sum, each) => sum + each.repeats, 0);
  if (repeats === 0 || lines.every(({ counts }) => counts.answers['200 repeat'] === undefined)) misses.push('no repeat was answered');
  return {
    name: 'faults', seed, store: postgres === null ? 'sqlite' : 'postgres', seconds: Math.round((performance.now() - began) / 1_000), compared, repeats, misses,
    gaps: joined.flatMap(({ gaps }) => gaps), twice: 0, epochs: joined.reduce((sum, each) => sum + each.epochs, 0), hits: run.hits, busyHits: run.busyHits, lines: lines.map(({ counts }) => counts),
    lives: { gateway: gateway.lives.lives, agent: agent.lives, 'gateway that ended by itself': gateway.lives.endedByThemselves, 'agent that ended by itself': agent.endedByThemselves },
  };
}
