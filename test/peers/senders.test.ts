// Programs of others that send logs and measurements over HTTP and know no offsets, against the intake with a key (docs/wire/device.md §6). What docs/operate/senders.md
// shows of each is what runs here: the gateway is killed under them, and answers are lost on the way.
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import type { EpochView, FeedView, RecordItem } from '#api/feed-shapes.ts';
import type { DeviceView } from '#api/shapes.ts';
import { startTcp, until } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { openProcesses, postern, startServe, type Page, type Processes, type Served, type Started } from '#kit/processes.ts';

interface Target {
  readonly url: string;
  readonly caFile: string;
  /** null: it sends none, over plain http. */
  readonly key: string | null;
}

/** What a sender is told, in the words of its own configuration, and how it is started. */
interface Sender {
  readonly program: 'telegraf' | 'syslog-ng' | 'fluent-bit' | 'curl';
  readonly optional: boolean;
  /** Whether what it sends again after a failure comes before what is newer. */
  readonly inOrder: boolean;
  start(processes: Processes, path: string, target: Target, logFile: string, folder: string): Started;
}

const telegraf: Sender = {
  program: 'telegraf',
  optional: true,
  inOrder: true,
  start(processes, path, { url, caFile, key }, logFile, folder) {
    const config = `
[agent]
  interval = "1s"
  flush_interval = "200ms"
  metric_batch_size = 50
  omit_hostname = true
[[inputs.tail]]
  files = ["${logFile}"]
  initial_read_offset = "beginning"
  data_format = "value"
  data_type = "string"
  path_tag = ""
[[outputs.http]]
  url = "${url}?key=body"
  data_format = "influx"
  use_batch_format = false
  timeout = "5s"
  non_retryable_statuscodes = [413]
  ${key === null ? '' : `tls_ca = "${caFile}"`}
  ${key === null ? '' : `[outputs.http.headers]\n    X-Postern-Key = "${key}"`}
`;
    writeFileSync(join(folder, 'telegraf.conf'), config);
    return processes.start(path, ['--config', join(folder, 'telegraf.conf')]);
  },
};

const syslogNg: Sender = {
  program: 'syslog-ng',
  optional: false,
  inOrder: true,
  start(processes, path, { url, caFile, key }, logFile, folder) {
    const config = `@version: 3.35
options { time-reopen(1); use-rcptid(yes); stats-freq(0); };
source s_log { file("${logFile}" follow-freq(0.1) flags(no-parse)); };
destination d_postern {
  http(
    url("${url}?key=body") method("POST") workers(1) retries(1000000) timeout(5)
    ${key === null ? '' : `headers("X-Postern-Key: ${key}") tls(ca-file("${caFile}") peer-verify(yes))`}
    body("\${RCPTID} \${ISODATE} \${HOST} \${MSGHDR}\${MSG}\\n")
    disk-buffer(reliable(yes) disk-buf-size(10000000) mem-buf-size(1000000) dir("${folder}"))
  );
};
log { source(s_log); destination(d_postern); flags(flow-control); };
`;
    writeFileSync(join(folder, 'syslog-ng.conf'), config);
    return processes.start(path, ['--foreground', '--no-caps', '--stderr', '--cfgfile', join(folder, 'syslog-ng.conf'), '--persist-file', join(folder, 'persist'), '--pidfile', join(folder, 'pid'), '--control', join(folder, 'control')]);
  },
};

const fluentBit: Sender = {
  program: 'fluent-bit',
  optional: true,
  inOrder: false,
  start(processes, path, { url, caFile, key }, logFile, folder) {
    const { hostname, port, pathname } = new URL(url);
    const config = `[SERVICE]
    flush 0.2
    grace 1
    scheduler.base 1
    scheduler.cap 2
[INPUT]
    name tail
    path ${logFile}
    read_from_head true
    refresh_interval 1
    db ${folder}/tail.db
[OUTPUT]
    name http
    match *
    host ${hostname}
    port ${port}
    uri ${pathname}?key=body
    format json_lines
    json_date_format epoch_ms
    retry_limit no_limits
    workers 1
    ${key === null ? '' : `tls on\n    tls.ca_file ${caFile}\n    header X-Postern-Key ${key}`}
`;
    writeFileSync(join(folder, 'fluent-bit.conf'), config);
    return processes.start(path, ['-c', join(folder, 'fluent-bit.conf')]);
  },
};

/** A shell loop with a key of its own for each line: what a script on a device does. */
const curl: Sender = {
  program: 'curl',
  optional: false,
  inOrder: true,
  start(processes, path, { url, caFile, key }, logFile, folder) {
    const script = `while n=$((n + 1)); do
  while line=$(sed -n "\${n}p" "$1") && [ -z "$line" ]; do sleep 0.1; done
  printf '%s\\n' "$line" > "$2/line"
  until '${path}' -fsS -m 5 ${key === null ? '' : `--cacert "${caFile}" -H "X-Postern-Key: ${key}"`} -H "Idempotency-Key: boot-1-$n" -H 'Content-Type: text/plain' --data-binary @"$2/line" "${url}"; do sleep 0.2; done
done`;
    writeFileSync(join(folder, 'send.sh'), script);
    return processes.start('sh', [join(folder, 'send.sh'), logFile, folder]);
  },
};

interface RecordsPage {
  readonly items: RecordItem[];
  readonly reached: number;
  readonly atEnd: boolean;
}

interface Line {
  readonly number: number;
  readonly off: number;
}

async function feedOf(gateway: Served, serial: string, name: string): Promise<(FeedView & { epochs: EpochView[] }) | null> {
  const { items } = await gateway.ask<Page<FeedView>>('GET', `/feeds?search=${serial}`);
  const found = items.find((each) => each.name === name && each.serial === serial);
  return found === undefined ? null : await gateway.ask('GET', `/feeds/${found.id}`);
}

/** The numbers of the lines that are stored, as they are stored. */
async function linesOf(gateway: Served, serial: string, name: string): Promise<Line[]> {
  const feed = await feedOf(gateway, serial, name);
  if (feed === null) return [];
  const lines: Line[] = [];
  for (let from = 0; ; ) {
    const page: RecordsPage = await gateway.ask<RecordsPage>('GET', `/feeds/${feed.id}/records?from=${from}&limit=500`);
    for (const item of page.items) {
      assert.equal(item.kind, 'record', 'nothing is lost');
      const number = item.kind === 'record' ? /line (\d{6}) end/.exec(item.text ?? '')?.[1] : undefined;
      assert.ok(number !== undefined, `whole lines: ${JSON.stringify(item)}`);
      lines.push({ number: Number(number), off: item.off });
    }
    if (page.atEnd) return lines;
    from = page.reached;
  }
}

const isAll = (lines: readonly Line[], count: number): boolean => new Set(lines.map((line) => line.number)).size === count;

/** Waits for all of them; then none is there twice, and they stand in the order that the sender promises. */
async function assertOnce(gateway: Served, sender: Sender, serial: string, name: string, count: number, started: Started): Promise<void> {
  await until(`${count} lines of ${sender.program}`, async () => isAll(await linesOf(gateway, serial, name), count), 120_000).catch((thrown: unknown) => {
    throw new Error(`${sender.program} said: ${started.stdout.slice(-2_000)}\n${started.stderr.slice(-4_000)}`, { cause: thrown });
  });
  const numbers = (await linesOf(gateway, serial, name)).map((line) => line.number);
  assert.equal(numbers.length, count, 'none is doubled');
  if (!sender.inOrder) numbers.sort((a, b) => a - b);
  assert.deepEqual(numbers, Array.from({ length: count }, (_, i) => i + 1));
}

/** Passes bytes on, but loses as many answers as it was told to: the request arrived, and its sender never learns that. */
async function startLossy(port: number): Promise<{ readonly port: number; readonly lost: number; lose(answers: number): void; [Symbol.asyncDispose](): Promise<void> }> {
  let toLose = 0;
  let lost = 0;
  const server = await startTcp((client) => {
    const upstream = connect({ host: '127.0.0.1', port, noDelay: true });
    upstream.on('error', () => client.destroy());
    upstream.on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
    client.on('data', (piece) => void upstream.write(piece));
    upstream.on('data', (piece) => {
      if (toLose > 0 && piece.toString('latin1').startsWith('HTTP/1.1 200')) {
        toLose -= 1;
        lost += 1;
        client.destroy();
      } else client.write(piece);
    });
  });
  return {
    port: server.port,
    get lost() {
      return lost;
    },
    lose: (answers) => void (toLose = answers),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

for (const sender of [telegraf, syslogNg, fluentBit, curl]) {
  const peers = findPeers([sender.program], { optional: sender.optional });
  test(`${sender.program}: the gateway is killed under it, answers are lost, and each line is there once`, { skip: peers.skip, timeout: 360_000 }, async (t) => {
    await using processes = openProcesses(t.signal);
    const gateway = await startServe(processes);
    const { config } = await gateway.ask<{ config: object }>('GET', '/config');
    const file = join(processes.folder, 'config.json');
    writeFileSync(file, JSON.stringify({ ...config, strangers: [{ policy: 'wait', keyless: true }] }));
    assert.equal((await processes.run(postern, ['apply', '-f', file], { env: gateway.env })).code, 0);
    const keyed = await gateway.ask<DeviceView>('POST', '/devices', { name: 'With a key', serial: 'SN-KEY' });
    const { secret } = await gateway.ask<{ secret: string }>('POST', `/devices/${keyed.id}/keys`, {});
    await gateway.ask('POST', '/devices', { name: 'Without', serial: 'SN-PLAIN' });
    const openLog = (name: string) => {
      const folder = join(processes.folder, name);
      mkdirSync(folder);
      const logFile = join(folder, 'calls.log');
      writeFileSync(logFile, '');
      let written = 0;
      return {
        folder, logFile,
        write(count: number) {
          let text = '';
          for (let i = 0; i < count; i++) text += `line ${String((written += 1)).padStart(6, '0')} end\n`;
          appendFileSync(logFile, text);
        },
      };
    };

    await t.test('over TLS with the key of its device, kill -9 of the gateway', async () => {
      const log = openLog('kill');
      log.write(20);
      const running = sender.start(processes, peers.path(sender.program), { url: `https://localhost:${gateway.httpsPort}/v1/default/in/SN-KEY/log`, caFile: gateway.caFile, key: secret }, log.logFile, log.folder);
      await until(`the first lines of ${sender.program}`, async () => (await linesOf(gateway, 'SN-KEY', 'log')).length > 0, 30_000).catch((thrown: unknown) => {
        throw new Error(`${sender.program} said: ${running.stdout.slice(-2_000)}\n${running.stderr.slice(-4_000)}`, { cause: thrown });
      });
      for (let i = 0; i < 3; i++) {
        const before = (await linesOf(gateway, 'SN-KEY', 'log')).length;
        log.write(40);
        await until('it to be in the middle', async () => (await linesOf(gateway, 'SN-KEY', 'log')).length > before);
        gateway.process.kill('SIGKILL');
        await gateway.process.ended;
        log.write(20);
        await gateway.restart();
      }
      await assertOnce(gateway, sender, 'SN-KEY', 'log', 200, running);
      await running.stop();
      const feed = await feedOf(gateway, 'SN-KEY', 'log');
      assert.deepEqual(feed!.epochs.map((epoch) => epoch.kind), ['keyed'], 'shown as what it is: at least once, with a key');
    });

    await t.test('over plain http, answers lost', async () => {
      await using lossy = await startLossy(gateway.httpPort);
      const log = openLog('lossy');
      lossy.lose(3);
      log.write(30);
      const running = sender.start(processes, peers.path(sender.program), { url: `http://localhost:${lossy.port}/v1/default/in/SN-PLAIN/log`, caFile: gateway.caFile, key: null }, log.logFile, log.folder);
      await until('three answers to be lost', () => lossy.lost === 3, 60_000).catch((thrown: unknown) => {
        throw new Error(`${sender.program} said: ${running.stdout.slice(-2_000)}\n${running.stderr.slice(-4_000)}`, { cause: thrown });
      });
      log.write(30);
      await assertOnce(gateway, sender, 'SN-PLAIN', 'log', 60, running);
      await running.stop();
      const feed = await feedOf(gateway, 'SN-PLAIN', 'log');
      assert.ok(feed!.epochs[0]!.repeats >= 3, `bodies that came again were answered, and not stored: ${feed!.epochs[0]!.repeats}`);
      assert.equal(feed!.epochs[0]!.kind, 'keyed');
    });
  });
}
