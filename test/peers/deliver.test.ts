// nginx beside an agent: it serves the certificate that the gateway hands over, and after each renewal the new one.
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { test } from 'node:test';
import type { DeliveryView } from '#api/delivery-shapes.ts';
import { until } from '#kit/gateway.ts';
import { findPeers } from '#kit/peers.ts';
import { freePort, openProcesses, postern, startServe, type Page, type Processes } from '#kit/processes.ts';

const peers = findPeers(['nginx', 'openssl']);
const host = 'web.example.test';

/** Its certificate is self-made at first, as an administrator would have begun. */
async function startNginx(processes: Processes) {
  const folder = join(processes.folder, 'nginx');
  mkdirSync(join(folder, 'temp'), { recursive: true });
  const port = await freePort();
  const at = (name: string) => join(folder, name);
  const made = await processes.run(peers.path('openssl'), ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=self-made', '-keyout', at('privkey.pem'), '-out', at('fullchain.pem')]);
  assert.equal(made.code, 0, made.stderr);
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path ${join(folder, 'temp', name)};`).join('\n');
  writeFileSync(
    at('nginx.conf'),
    `daemon off;
${process.getuid?.() === 0 ? 'user root;\n' : ''}worker_processes 1;
pid ${at('pid')};
error_log stderr notice;
events { worker_connections 256; }
http {
${temp}
  access_log off;
  keepalive_timeout 60s;
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${at('fullchain.pem')};
    ssl_certificate_key ${at('privkey.pem')};
    location / { return 200 "here\\n"; }
  }
}
`,
  );
  const arguments_ = ['-p', folder, '-c', at('nginx.conf'), '-e', 'stderr'];
  const nginx = processes.start(peers.path('nginx'), arguments_);
  await until('nginx to run', () => existsSync(at('pid')) && readFileSync(at('pid'), 'utf8').trim() !== '');
  return { port, nginx, at, policy: `install certificate web cert=${at('fullchain.pem')} key=${at('privkey.pem')} run=reload\nrun reload = ${peers.path('nginx')} ${arguments_.join(' ')} -s reload\n` };
}

/** SHA-256 of the certificate that it shows; with `caFile` only what that CA signed for the host. */
async function shown(port: number, caFile?: string): Promise<string> {
  const socket = await new Promise<TLSSocket>((done, failed) => {
    const one = connect({ host: '127.0.0.1', port, servername: host, ...(caFile === undefined ? { rejectUnauthorized: false } : { ca: readFileSync(caFile) }) }, () => done(one));
    one.once('error', failed);
  });
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256.replaceAll(':', '').toLowerCase();
}

test('nginx serves what the gateway hands over', { skip: peers.skip, timeout: 180_000 }, async (t) => {
  await using processes = openProcesses(t.signal);
  const nginx = await startNginx(processes);
  const served = await startServe(processes);
  const device = await served.addDevice({ name: 'server', ports: [{ number: nginx.port, kind: 'https' }] });
  appendFileSync(join(device.stateDir, 'policy'), nginx.policy);
  device.agent.kill('SIGTERM');
  await device.agent.ended;
  await device.restart();
  const delivery = async () => (await served.ask<Page<DeliveryView>>('GET', '/deliveries')).items[0]!;
  const delivered = (since: number | null) =>
    until('it to be delivered', async () => {
      const { state, deliveredAt } = await delivery();
      return state === 'delivered' && deliveredAt !== since ? { deliveredAt } : null;
    }, 60_000).catch(async (thrown: unknown) => assert.fail(`${String(thrown)}: ${JSON.stringify(await delivery())}`));
  const issued = async (path: string, body: object) => served.ask('POST', `/certificates/${path}`, body);
  const print = async () => (await served.ask<{ fingerprint: string }>('GET', '/certificates/web')).fingerprint;
  /** Workers of before answer for a moment more: what counts is that it stays. */
  const showsIt = (caFile: string) =>
    until('nginx to show it', async () => {
      for (let i = 0; i < 3; i++) if ((await shown(nginx.port)) !== (await print())) return false;
      return (await shown(nginx.port, caFile)) === (await print());
    });
  const selfMade = await shown(nginx.port);

  let first: number | null = null;
  await t.test('the first time, over a certificate that was there', async () => {
    await issued('issue', { name: 'web', names: [host] });
    const said = await processes.run(postern, ['deliver', 'web', device.label], { env: served.env });
    assert.equal(said.code, 0, said.stderr);
    first = (await delivered(null)).deliveredAt;
    assert.notEqual(await print(), selfMade);
    await showsIt(served.caFile);
  });

  await t.test('after a renewal', async () => {
    await issued('web/issue', { acknowledged: true });
    await delivered(first);
    await showsIt(served.caFile);
  });

  await t.test('what nginx does not take comes back, with its own words', async () => {
    const before = await shown(nginx.port, served.caFile);
    const config = readFileSync(nginx.at('nginx.conf'), 'utf8');
    writeFileSync(nginx.at('nginx.conf'), config.replace('http {', 'http { nonsense;'));
    await issued('web/issue', { acknowledged: true });
    const failed = await until('it to fail', async () => {
      const now = await delivery();
      return now.state === 'failed' ? now : null;
    });
    assert.match(failed.output ?? '', /unknown directive "nonsense"/);
    assert.equal(failed.exitCode, 1);
    assert.equal(await shown(nginx.port, served.caFile), before);
    writeFileSync(nginx.at('nginx.conf'), config);
    const again = await processes.run(postern, ['deliveries', '--retry', failed.id], { env: served.env });
    assert.equal(again.code, 0, again.stderr);
    await showsIt(served.caFile);
  });
  assert.ok(!/\[(alert|crit|emerg)\]/.test(nginx.nginx.stderr), nginx.nginx.stderr);
});
