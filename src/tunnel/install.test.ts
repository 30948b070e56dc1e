// Both ends of the service `install` over a pair of streams, with real files and real commands.
import assert from 'node:assert/strict';
import { createHash, createPrivateKey, createPublicKey } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { duplexPair, type Duplex } from 'node:stream';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { realClock, realRandom } from '#app/real.ts';
import { isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { silentLog, type Log } from '#base/log.ts';
import { digestOfPair, type InstallOrder } from '#model/delivery.ts';
import { openPkcs12 } from '#model/pkcs12.ts';
import { parsePolicy } from '#model/policy.ts';
import { encodeMessage } from '#wire/message.ts';
import { testLeaf } from '../../test/kit/test-leaf.ts';
import { buildAgentInstall } from './agent-install.ts';
import { installOver } from './gateway-install.ts';
import { readMessage } from './service-messages.ts';

async function leaf(): Promise<{ chainPem: string; keyPem: string; digest: string }> {
  const { cert, key } = await testLeaf('server');
  const fingerprint = createHash('sha256').update(createPublicKey(key).export({ type: 'spki', format: 'der' })).digest('hex');
  return { chainPem: cert, keyPem: key, digest: digestOfPair(cert, fingerprint) };
}

function room(more = '') {
  const folder = mkdtempSync(join(tmpdir(), 'postern-install-'));
  const at = (name: string) => join(folder, name);
  const logged: string[] = [];
  const note = (event: string, fields: unknown) => void logged.push(`${event} ${JSON.stringify(fields)}`);
  const log: Log = { ...silentLog, debug: note, info: note, warn: note, error: note };
  // What the command does is the test's to write: it tells what it saw.
  const command = (body: string) => {
    writeFileSync(at('command'), `#!/bin/sh\n${body}\n`);
    chmodSync(at('command'), 0o755);
  };
  command(`sed -n 2p "$POSTERN_CERT_FILE" >> ${at('ran')}`);
  let text = `install certificate web cert=${at('fullchain.pem')} key=${at('privkey.pem')} run=reload ${more.replaceAll('@', folder)}\nrun reload = ${at('command')}`;
  const serve = buildAgentInstall({ clock: realClock, limits, log, random: realRandom, policy: () => parsePolicy(text) });
  const open = (): Duplex => {
    const [near, far] = duplexPair();
    void serve(far);
    return near;
  };
  let keysRead = 0;
  const orderOf = ({ chainPem, keyPem, digest }: Awaited<ReturnType<typeof leaf>>, name = 'web'): InstallOrder => ({ name, chainPem, digest, readKeyPem: async () => (keysRead++, keyPem) });
  return {
    folder, at, logged, command, open, serve, orderOf,
    setPolicy: (next: string) => (text = next),
    get keysRead() {
      return keysRead;
    },
    install: (order: InstallOrder) => installOver(open(), order, { clock: realClock, limits }),
    runs: () => (existsSync(at('ran')) ? readFileSync(at('ran'), 'utf8').trim().split('\n').length : 0),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

test('put in place, and nothing is sent twice', async () => {
  using r = room();
  const one = await leaf();
  assert.deepEqual(await r.install(r.orderOf(one)), { state: 'delivered', sent: true });
  assert.equal(readFileSync(r.at('fullchain.pem'), 'utf8'), one.chainPem);
  assert.equal(readFileSync(r.at('privkey.pem'), 'utf8'), one.keyPem);
  assert.deepEqual(await r.install(r.orderOf(one)), { state: 'delivered', sent: false });
  assert.equal(r.keysRead, 1);
  assert.equal(r.runs(), 1);
  const two = await leaf();
  assert.deepEqual(await r.install(r.orderOf(two)), { state: 'delivered', sent: true });
  assert.equal(readFileSync(r.at('privkey.pem'), 'utf8'), two.keyPem);
  assert.equal(r.runs(), 2);
  // No line of the log holds a piece of a key.
  const secrets = [one, two].flatMap(({ keyPem }) => keyPem.split('\n').filter((line) => line.length > 30));
  assert.ok(secrets.length > 0 && r.logged.length > 0);
  for (const line of r.logged) assert.ok(!secrets.some((secret) => line.includes(secret)) && !line.includes('PRIVATE'));
});

test('the policy decides, at the moment of the installation', async () => {
  using r = room();
  const one = await leaf();
  const refused = await r.install(r.orderOf(one, 'mail'));
  assert.equal(refused.state, 'refused');
  assert.match('why' in refused ? refused.why : '', /does not allow to install a certificate "mail"; to allow it, add this line to the agent's policy file: install certificate mail cert=/);
  r.setPolicy('reach tcp 127.0.0.1 80');
  assert.equal((await r.install(r.orderOf(one))).state, 'refused');
  assert.equal(r.keysRead, 0, 'no key leaves for what is not allowed');
  assert.equal(existsSync(r.at('privkey.pem')), false);
});

test('a command that fails: the old files are back, it ran again, and its words are told', async () => {
  using r = room();
  const [one, two] = [await leaf(), await leaf()];
  await r.install(r.orderOf(one));
  const line = two.chainPem.split('\n')[1]!;
  r.command(`echo "looking at $POSTERN_CERTIFICATE"; sed -n 2p "$POSTERN_CERT_FILE" >> ${r.at('ran')}; if grep -qF '${line}' "$POSTERN_CERT_FILE"; then echo 'key type is not taken' >&2; exit 7; fi`);
  const failed = await r.install(r.orderOf(two));
  assert.ok(failed.state === 'failed');
  assert.equal(failed.exitCode, 7);
  assert.equal(failed.output, 'looking at web\nkey type is not taken');
  assert.match(failed.why, /the command reload \(.*\/command\) failed: exit code 7; the files of before are back, and with them it succeeded/);
  assert.equal(readFileSync(r.at('fullchain.pem'), 'utf8'), one.chainPem);
  assert.equal(readFileSync(r.at('privkey.pem'), 'utf8'), one.keyPem);
  assert.equal(r.runs(), 3);
  assert.deepEqual(await r.install(r.orderOf(one)), { state: 'delivered', sent: false });
});

test('with nothing before, a command that fails leaves nothing', async () => {
  using r = room();
  r.command('exit 1');
  const failed = await r.install(r.orderOf(await leaf()));
  assert.ok(failed.state === 'failed');
  assert.match(failed.why, /with them it fails, too \(exit code 1\)/);
  assert.equal(existsSync(r.at('privkey.pem')), false);
  assert.equal(existsSync(r.at('fullchain.pem')), false);
});

test('PKCS#12 beside PEM', async () => {
  using r = room('pfx=@/all.pfx passphrase=@/pass mode=0640');
  const one = await leaf();
  const without = await r.install(r.orderOf(one));
  assert.ok(without.state === 'failed');
  assert.match(without.why, /passphrase for .*all.pfx cannot be read/);
  writeFileSync(r.at('pass'), 'open sesame\n');
  assert.deepEqual(await r.install(r.orderOf(one)), { state: 'delivered', sent: true });
  const opened = await openPkcs12(readFileSync(r.at('all.pfx')), 'open sesame');
  assert.equal(opened.keys.length, 1);
  assert.ok(createPrivateKey({ key: opened.keys[0]!, format: 'der', type: 'pkcs8' }).equals(createPrivateKey(one.keyPem)));
  assert.equal(opened.certificates.length, 1);
});

test('two at once: one after the other', async () => {
  using r = room();
  const pairs = [await leaf(), await leaf(), await leaf()];
  const done = await Promise.all(pairs.map((pair) => r.install(r.orderOf(pair))));
  assert.deepEqual(done.map(({ state }) => state), ['delivered', 'delivered', 'delivered']);
  const chain = readFileSync(r.at('fullchain.pem'), 'utf8');
  assert.ok(pairs.some((pair) => pair.chainPem === chain && pair.keyPem === readFileSync(r.at('privkey.pem'), 'utf8')));
});

/** What the agent answers to bytes. */
async function answersTo(r: ReturnType<typeof room>, pieces: readonly Buffer[]): Promise<unknown[]> {
  const stream = r.open();
  stream.on('error', () => {});
  for (const piece of pieces) stream.write(Buffer.from(piece)); // copies: the agent wipes what it has read
  stream.end();
  const answers: unknown[] = [];
  for (;;) {
    const message = await readMessage(stream, limits).catch((thrown: unknown) => (isFault(thrown) ? null : Promise.reject(thrown as Error)));
    if (message === null) return answers;
    answers.push(message);
  }
}

test('what does not belong together is refused before a file is touched', async () => {
  using r = room();
  const [one, two] = [await leaf(), await leaf()];
  const send = (chain: string, key: string, digest: string, more = {}) => [encodeMessage({ id: 1, do: 'certificate', name: 'web', kind: 'pem', digest, chainBytes: chain.length, keyBytes: key.length, ...more }, 65_536), Buffer.from(chain + key)];
  const cases: [Buffer[], RegExp][] = [
    [send(one.chainPem, two.keyPem, one.digest), /do not belong together/],
    [send(one.chainPem, one.keyPem, two.digest), /the digest differs/],
    [send('no chain', one.keyPem, one.digest), /no certificate in PEM/],
    [send(one.chainPem, 'no key', one.digest), /not a private key/],
    [send(one.chainPem, one.keyPem, one.digest, { kind: 'jks' }), /takes certificates in PEM/],
  ];
  for (const [pieces, why] of cases) {
    const [answer] = (await answersTo(r, pieces)) as { fault: { message: string } }[];
    assert.match(answer!.fault.message, why);
    assert.ok(!JSON.stringify(answer).includes('PRIVATE'));
  }
  assert.deepEqual(await answersTo(r, [encodeMessage({ id: 5, do: 'dance' }, 65_536)]), [{ id: 5, fault: { code: 'unsupported', message: 'this agent does not know what this asks' } }]);
  assert.equal(existsSync(r.at('privkey.pem')), false);
  assert.equal(r.runs(), 0);
});

test('announced lengths are bounded, and a truncated one installs nothing', async () => {
  using r = room();
  const one = await leaf();
  for (const wrong of [0, -1, 1.5, 1e9, '5', null]) {
    assert.deepEqual(await answersTo(r, [encodeMessage({ id: 1, do: 'certificate', name: 'web', kind: 'pem', digest: one.digest, chainBytes: wrong, keyBytes: 10 }, 65_536)]), []);
    assert.deepEqual(await answersTo(r, [encodeMessage({ id: 1, do: 'certificate', name: 'web', kind: 'pem', digest: one.digest, chainBytes: 10, keyBytes: wrong }, 65_536)]), []);
  }
  const whole = Buffer.concat([encodeMessage({ id: 1, do: 'certificate', name: 'web', kind: 'pem', digest: one.digest, chainBytes: one.chainPem.length, keyBytes: one.keyPem.length }, 65_536), Buffer.from(one.chainPem + one.keyPem)]);
  for (let cut = 0; cut < whole.length; cut += 37) assert.deepEqual(await answersTo(r, [whole.subarray(0, cut)]), [], `cut at ${cut}`);
  assert.equal(r.runs(), 0);
  // In many small pieces it is the same.
  const pieces = Array.from({ length: Math.ceil(whole.length / 50) }, (_, i) => whole.subarray(i * 50, i * 50 + 50));
  assert.deepEqual(await answersTo(r, pieces), [{ id: 1, ok: { installedDigest: one.digest, exitCode: 0, output: '' } }]);
});

test('only so many streams hold something at a time', async () => {
  using r = room();
  const held = Array.from({ length: limits.installsWaitingMax }, () => r.open());
  const [near, far] = duplexPair();
  void r.serve(far);
  assert.equal(far.destroyed, true);
  near.destroy();
  for (const stream of held) stream.end();
  await Promise.all(held.map((stream) => readMessage(stream, limits)));
  await new Promise((done) => setImmediate(done));
  assert.equal((await r.install(r.orderOf(await leaf()))).state, 'delivered');
});

test('an agent that says nonsense', async () => {
  const order = { ...(await leaf()), name: 'web', readKeyPem: async () => 'key' };
  const says = async (answer: object | null) => {
    const [near, far] = duplexPair();
    far.resume();
    if (answer) far.write(encodeMessage(answer as Record<string, unknown>, 65_536));
    far.end();
    return installOver(near, order, { clock: realClock, limits });
  };
  await assert.rejects(says(null), (thrown) => isFault(thrown, 'closed'));
  await assert.rejects(says({ id: 1 }), (thrown) => isFault(thrown, 'protocol'));
  await assert.rejects(says({ id: 1, ok: { installedDigest: 7 } }), (thrown) => isFault(thrown, 'protocol'));
  assert.deepEqual(await says({ id: 1, fault: { code: 'unsupported', message: 'what?' } }), { state: 'unsupported', why: 'what?', exitCode: null, output: null });
  assert.deepEqual(await says({ id: 1, fault: { code: 7, message: 'a\u001b[31mb', exitCode: 'x', output: 'one\ntwo\u0007' } }), { state: 'failed', why: 'a\\x1b[31mb', exitCode: null, output: 'one\ntwo\\x07' });
});
