// The agent's service `install` (docs/wire/tunnel.md §6): certificates of the gateway become files beside an application server, where the local policy says which,
// and a command of the policy follows. A key is never logged and never in an answer.
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import { buildInTurn } from '#base/in-turn.ts';
import type { Limits } from '#base/limits.ts';
import { printable } from '#base/log.ts';
import type { Log } from '#base/log.ts';
import { readPair } from '#model/delivery.ts';
import { ruleToInstall } from '#model/policy.ts';
import type { Policy } from '#model/policy.ts';
import type { CertificateRule } from '#model/policy-install.ts';
import type { Message } from '#wire/message.ts';
import { openInstalledFiles } from './install-files.ts';
import type { Contents, InstalledFiles } from './install-files.ts';
import { within } from './open.ts';
import { runCommand } from './run-command.ts';
import type { Ran } from './run-command.ts';
import { readMessage, readRaw, writeMessage } from './service-messages.ts';

export interface AgentInstallOptions {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly log: Log;
  readonly random: Random;
  policy(): Policy;
}

/** Serves one stream of the service once it was accepted. Never rejects. */
export type ServeInstall = (stream: Duplex) => Promise<void>;

/** Of the process: whatever links ask, one installation runs at a time. */
export function buildAgentInstall(options: AgentInstallOptions): ServeInstall {
  const { clock, limits, log } = options;
  const inTurn = buildInTurn(limits.installsWaitingMax);
  let open = 0;
  return async (stream) => {
    // Each may hold a chain and a key, which no budget counts.
    if (open >= limits.installsWaitingMax) {
      log.warn('install.broken', { why: `${open} streams about certificates are open already` });
      return void stream.destroy();
    }
    open += 1;
    const by = { clock, timeoutMs: limits.installReadTimeoutMs };
    try {
      for (let asked = 0; asked < limits.installMessagesMax; asked++) {
        const message = await within(stream, by, 'a message about a certificate', readMessage(stream, limits));
        if (message === null) break;
        const answer = await answerTo(stream, message, options, inTurn);
        if (answer !== null) writeMessage(stream, answer, limits);
      }
      stream.end();
      stream.resume();
    } catch (thrown) {
      log.warn('install.broken', { why: reasonOf(thrown) });
      stream.destroy();
    } finally {
      open -= 1;
    }
  };
}

type InTurn = ReturnType<typeof buildInTurn>;

/** null: the message wants no answer. Faults of the stream and of the protocol are thrown, all others answered. */
async function answerTo(stream: Duplex, message: Message, options: AgentInstallOptions, inTurn: InTurn): Promise<Message | null> {
  const { id } = message;
  if (typeof id !== 'number' && typeof id !== 'string') return null;
  const name = typeof message['name'] === 'string' ? message['name'] : '';
  try {
    switch (message['do']) {
      case 'installed':
        return { id, ok: { installedDigest: await inTurn(() => installedDigest(name, options)) } };
      case 'certificate': {
        const sent = await readSent(stream, message, options);
        return { id, ok: await inTurn(() => install(name, sent, options)) };
      }
      default:
        return { id, fault: { code: 'unsupported', message: 'this agent does not know what this asks' } };
    }
  } catch (thrown) {
    if (isFault(thrown, 'protocol') || isFault(thrown, 'closed') || isFault(thrown, 'timeout') || !isFault(thrown)) throw thrown;
    const text = thrown.remedy === undefined ? thrown.message : `${thrown.message}; ${thrown.remedy}`;
    options.log.warn('certificate.not-installed', { certificate: printable(name, 100), code: thrown.code, why: text });
    return { id, fault: { code: codeOf(thrown), message: text, ...commandFacts(thrown) } };
  }
}

/** `forbidden` is the local policy's word alone. */
const codeOf = (fault: Fault): string => (fault.code === 'forbidden' ? 'policy' : fault.code);

interface Sent {
  readonly chainPem: string;
  readonly keyPem: string;
  readonly digest: string;
}

/** The bytes that the message announces are taken in any case, so that the next message is found. Fault `protocol`: too many, or not those of the digest. */
async function readSent(stream: Duplex, { kind, digest, chainBytes, keyBytes }: Message, { clock, limits }: AgentInstallOptions): Promise<Sent> {
  const isLength = (value: unknown, most: number): value is number => typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= most;
  if (!isLength(chainBytes, limits.installChainBytesMax) || !isLength(keyBytes, limits.installKeyBytesMax)) throw new Fault('protocol', 'a certificate was announced with a length that is not taken');
  const raw = await within(stream, { clock, timeoutMs: limits.installReadTimeoutMs }, 'a certificate', readRaw(stream, chainBytes + keyBytes));
  const sent = { chainPem: raw.toString('latin1', 0, chainBytes), keyPem: raw.toString('latin1', chainBytes) };
  raw.fill(0);
  if (kind !== 'pem') throw new Fault('unsupported', 'this agent takes certificates in PEM');
  if (readPair(sent.chainPem, sent.keyPem).digest !== digest) throw new Fault('bad-input', 'what came is not what was announced: the digest differs');
  return { ...sent, digest };
}

/** Of what is in place and whose command succeeded; null: something else is there, or nothing, or only half was done. */
async function installedDigest(name: string, options: AgentInstallOptions): Promise<string | null> {
  const { rule } = ruleToInstall(options.policy(), name);
  const found = await openInstalledFiles(rule, options.random).readGood();
  if (found === null) return null;
  try {
    return readPair(found.cert.toString('latin1'), found.key.toString('latin1')).digest;
  } catch {
    return null; // somebody wrote into the files
  }
}

async function install(name: string, sent: Sent, options: AgentInstallOptions): Promise<Readonly<Record<string, unknown>>> {
  // Asked again: the policy may have changed since.
  const { rule, command } = ruleToInstall(options.policy(), name);
  if ((await installedDigest(name, options)) === sent.digest) return { installedDigest: sent.digest };
  const files = openInstalledFiles(rule, options.random);
  const contents = await contentsFor(rule, sent, options);
  try {
    await files.switchTo(contents);
  } catch (thrown) {
    await files.goBack().catch(() => {});
    throw thrown;
  } finally {
    contents.key.fill(0);
  }
  const ran = await run(rule, command, options);
  if (ran.exitCode !== 0) throw await backToOld(files, rule, command, ran, options);
  await files.settle();
  options.log.info('certificate.installed', { certificate: rule.name, cert: rule.cert, digest: sent.digest, command: rule.run });
  return { installedDigest: sent.digest, exitCode: 0, output: ran.output };
}

async function contentsFor(rule: CertificateRule, { chainPem, keyPem }: Sent, { random }: AgentInstallOptions): Promise<Contents> {
  const own = { cert: Buffer.from(chainPem, 'latin1'), key: Buffer.from(keyPem, 'latin1') };
  if (rule.pfx === null || rule.passphrase === null) return { ...own, pfx: null };
  const [{ makePkcs12 }, { createPrivateKey }, { readFile }] = await Promise.all([import('#model/pkcs12.ts'), import('node:crypto'), import('node:fs/promises')]);
  const text = await readFile(rule.passphrase, 'utf8').catch((cause: unknown) => {
    throw new Fault('not-found', `the passphrase for ${rule.pfx} cannot be read: ${reasonOf(cause)}`, { cause });
  });
  const order = {
    certificates: readPair(chainPem, keyPem).chain.map((each) => each.raw),
    key: createPrivateKey(keyPem).export({ type: 'pkcs8', format: 'der' }),
    friendlyName: rule.name,
    passphrase: text.split(/\r?\n/, 1)[0]!,
    random,
  };
  return { ...own, pfx: await makePkcs12(order) };
}

function run(rule: CertificateRule, command: readonly string[], { clock, limits, log }: AgentInstallOptions): Promise<Ran> {
  log.info('command.started', { command: rule.run, certificate: rule.name });
  const env = { POSTERN_CERTIFICATE: rule.name, POSTERN_CERT_FILE: rule.cert, POSTERN_KEY_FILE: rule.key };
  return runCommand(command, { clock, timeoutMs: limits.installCommandTimeoutMs, outputBytesMax: limits.installCommandOutputBytesMax, env });
}

/** The old files are put back and the command is run once more, so that the server is as it was. */
async function backToOld(files: InstalledFiles, rule: CertificateRule, command: readonly string[], ran: Ran, options: AgentInstallOptions): Promise<Fault> {
  await files.goBack();
  const again = await run(rule, command, options);
  const after = again.exitCode === 0 ? 'the files of before are back, and with them it succeeded' : `the files of before are back, and with them it fails, too (${again.how})`;
  return new Fault('internal', `the command ${rule.run} (${printable(command.join(' '), 200)}) failed: ${ran.how}; ${after}`, { detail: { exitCode: ran.exitCode, output: ran.output } });
}

function commandFacts({ detail }: Fault): Readonly<Record<string, unknown>> {
  return 'output' in detail ? { exitCode: detail['exitCode'], output: detail['output'] } : {};
}
