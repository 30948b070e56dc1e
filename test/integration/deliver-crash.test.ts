// kill -9 while a certificate is put in place: whoever reads the files then finds the old pair or the new one, never a chain with the key of another.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { DeliveryView } from '#api/delivery-shapes.ts';
import { root, temporaryFolder, until } from '../kit/gateway.ts';
import { openProcesses, startServe, type Page } from '../kit/processes.ts';

const rounds = 25;

/** Puts one pair after the other in place, as fast as it can, until it is killed. */
const putter = (folder: string) => `
import { randomBytes } from 'node:crypto';
import { openInstalledFiles } from ${JSON.stringify(join(root, 'src', 'tunnel', 'install-files.ts'))};
const rule = { name: 'web', cert: ${JSON.stringify(join(folder, 'fullchain.pem'))}, key: ${JSON.stringify(join(folder, 'privkey.pem'))}, pfx: null, passphrase: null, mode: 0o600, owner: null, run: 'x' };
const files = openInstalledFiles(rule, randomBytes);
console.log('begins');
for (let i = 0; ; i++) {
  const name = process.pid + '.' + i;
  await files.switchTo({ cert: Buffer.from('cert ' + name), key: Buffer.from('key ' + name), pfx: null });
  if (i % 3 === 2) await files.goBack(); else await files.settle();
}
`;

test('killed at any step, begun from files that were there and from what a kill left', { timeout: 120_000 }, async () => {
  using folder = temporaryFolder();
  const [cert, key] = [join(folder.path, 'fullchain.pem'), join(folder.path, 'privkey.pem')];
  writeFileSync(cert, 'cert old');
  writeFileSync(key, 'key old');
  const seen = new Set<string>();
  for (let round = 0; round < rounds; round++) {
    if (round % 5 === 4) {
      // Somebody put files of his own over the links: the take-over is under the knife, too.
      for (const [path, text] of [[cert, 'cert'], [key, 'key']] as const) {
        rmSync(path);
        writeFileSync(path, `${text} by hand ${round}`);
      }
    }
    const child = spawn(process.execPath, ['--input-type=module', '-e', putter(folder.path)], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    await new Promise((done) => setTimeout(done, (round * 13) % 90));
    child.kill('SIGKILL');
    await once(child, 'exit');
    const pair = [cert, key].map((path) => readFileSync(path, 'utf8').replace(/^(cert|key) /, ''));
    assert.equal(pair[0], pair[1], `round ${round}`);
    seen.add(pair[0]!);
  }
  assert.ok(seen.size > rounds / 3, `it was killed at ${seen.size} different moments`);
});

test('an agent is killed while its command runs: the pair is whole, and the next start brings it to its end', { timeout: 120_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const at = (name: string) => join(processes.folder, name);
  const served = await startServe(processes);
  // Says that it runs, and does not end before it may.
  writeFileSync(at('reload'), `#!/bin/sh\necho run >> ${at('runs')}\nwhile [ ! -e ${at('go')} ]; do sleep 0.05; done\n`);
  chmodSync(at('reload'), 0o755);
  const device = await served.addDevice({ name: 'server', ports: [{ number: 9, kind: 'tcp' }] });
  appendFileSync(join(device.stateDir, 'policy'), `install certificate web cert=${at('fullchain.pem')} key=${at('privkey.pem')} run=reload\nrun reload = ${at('reload')}\n`);
  device.agent.kill('SIGKILL');
  await device.agent.ended;
  await device.restart();
  await served.ask('POST', '/certificates/issue', { name: 'web', names: ['web.example.test'] });
  await served.ask('POST', '/certificates/web/deliveries', { agentId: device.agentId });
  const runs = () => (existsSync(at('runs')) ? readFileSync(at('runs'), 'utf8').trim().split('\n').length : 0);
  const leaf = () => {
    const certificate = new X509Certificate(readFileSync(at('fullchain.pem')));
    assert.ok(certificate.checkPrivateKey(createPrivateKey(readFileSync(at('privkey.pem')))));
    return certificate.serialNumber;
  };
  await until('the command to run', () => runs() === 1);
  device.agent.kill('SIGKILL');
  await device.agent.ended;
  const serial = leaf();
  assert.notEqual((await served.ask<Page<DeliveryView>>('GET', '/deliveries')).items[0]!.state, 'delivered', 'its command has not ended');
  writeFileSync(at('go'), '');
  await device.restart();
  await until('it to be delivered', async () => (await served.ask<Page<DeliveryView>>('GET', '/deliveries')).items[0]!.state === 'delivered');
  assert.equal(leaf(), serial);
  assert.equal(runs(), 2, 'nobody knew how the first one had ended');
  // No key in what either process said.
  const secret = readFileSync(at('privkey.pem'), 'utf8').split('\n')[1]!;
  for (const said of [device.said(), served.logs()]) assert.ok(!said.includes(secret) && !said.includes('PRIVATE KEY'));
});
