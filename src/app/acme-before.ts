// Looks whether an order would work, as far as that can be seen from here, and asks the authority for nothing but its directory.
import { createHash, X509Certificate } from 'node:crypto';
import { request } from 'node:http';
import { connect as connectTls } from 'node:tls';
import type { Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf, toFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { judgeAddresses, judgeAnswers, judgeAuthority, judgeCaa, type AddressesSeen, type AnswerSeen, type CaaSeen } from '#model/acme-before.ts';
import { challengePath } from '#model/acme-answers.ts';
import { checkOrder, namesOf, type ChallengeKind } from '#model/acme.ts';
import { challengeServerName } from '#model/certificate-challenge.ts';
import type { Finding, Judgement } from '#model/doctor.ts';
import type { AcmeSettings } from '#model/rows.ts';
import { askAuthority } from '#net/acme-http.ts';
import type { Check } from '#net/acme.ts';
import type { Resolver } from '#net/dns-client.ts';
import { openDnsWork } from '#net/dns-update.ts';
import { caaOf, dnsTypes } from '#wire/dns.ts';
import { openProofs, type ProofsOptions } from './acme-proofs.ts';

export interface BeforeOptions extends ProofsOptions {
  readonly clock: Clock;
  readonly version: string;
  readonly signal: AbortSignal;
}

export interface BeforeOrder {
  readonly directoryUrl: string;
  readonly names: readonly string[];
  readonly challenge: ChallengeKind;
  readonly dns: AcmeSettings['dns'];
  readonly rootPem: string | null;
  /** Where the authority looks: 80 and 443, but for private ones that are set otherwise. */
  readonly ports: { readonly http: number; readonly tls: number };
}

const namesLookedAt = 20;
const answerTimeoutMs = 5_000;
const dnsTimeoutMs = 60_000;

export async function checkBeforeOrder(options: BeforeOptions, order: BeforeOrder): Promise<Finding[]> {
  const { clock } = options;
  const findings: Finding[] = [];
  const judge = async (id: string, title: string, look: () => Promise<Judgement>): Promise<void> => {
    const since = clock.monoMs();
    const judgement = await look().catch((thrown: unknown): Judgement => {
      const fault = toFault(thrown);
      return { status: 'failure', verdict: fault.message, remedy: fault.remedy ?? null };
    });
    findings.push({ id, title, evidence: [], remedy: null, ...judgement, ms: Math.round(clock.monoMs() - since) });
  };
  const names = namesOf(order.names);
  const all = [...names.dns, ...names.ip].slice(0, namesLookedAt);
  const proven = [...new Set(all.map((name) => name.replace(/^\*\./, '')))];
  const settings = { names, challenge: order.challenge, dns: order.dns ?? null };
  await judge('names', 'Names and kind of check', async () => {
    checkOrder(settings);
    return { status: 'ok', verdict: `${order.challenge} can prove ${all.length === 1 ? 'this name' : 'these names'}` };
  });
  if (findings[0]!.status === 'failure') return findings;

  const resolverSetting = typeof order.dns?.['resolver'] === 'string' && order.dns['resolver'] !== '' ? order.dns['resolver'] : null;
  const { resolver } = openDnsWork({ clock, random: options.random, signal: options.signal, resolver: resolverSetting });
  let identities: readonly string[] | null = null;
  await judge('authority', 'The authority', async () => {
    const seen = await lookAtAuthority(options, order);
    identities = seen.identities;
    return judgeAuthority(seen);
  });
  const addresses = await Promise.all(proven.map((name) => addressesOf(resolver, name)));
  await judge('addresses', 'Addresses of the names', async () => judgeAddresses(addresses, order.challenge, order.rootPem !== null));
  await judge('caa', 'CAA records', async () => judgeCaa(await Promise.all(all.filter((name) => names.dns.includes(name)).map((name) => caaSeen(resolver, name))), identities));
  if (order.challenge === 'dns-01') await judge('record', 'A record in DNS', () => tryRecord(options, settings, proven[0]!));
  else {
    const port = order.challenge === 'http-01' ? order.ports.http : order.ports.tls;
    await judge('answer', `Port ${port} from here`, async () => judgeAnswers((await Promise.all(addresses.map((each) => answersSeen(options, settings, each, port)))).flat(), order.challenge, port));
  }
  return findings;
}

async function lookAtAuthority({ clock, version, signal }: BeforeOptions, { directoryUrl, rootPem }: BeforeOrder): Promise<Parameters<typeof judgeAuthority>[0] & { identities: readonly string[] | null }> {
  const authority = new URL(directoryUrl).host;
  try {
    const { headers, data } = await askAuthority(directoryUrl, 'GET', undefined, { rootPem, authority, userAgent: `Postern/${version}`, nowMs: () => clock.nowMs(), signal, about: () => null });
    const meta = (data as { meta?: { caaIdentities?: unknown } } | null)?.meta;
    const identities = Array.isArray(meta?.caaIdentities) && meta.caaIdentities.length > 0 ? meta.caaIdentities.map((each) => String(each).toLowerCase()) : null;
    const at = Date.parse(headers['date'] ?? '');
    return { authority, aheadMs: Number.isNaN(at) ? null : at - clock.nowMs(), error: null, identities };
  } catch (thrown) {
    return { authority, aheadMs: null, error: reasonOf(thrown), identities: null };
  }
}

async function addressesOf(resolver: Resolver, name: string): Promise<AddressesSeen> {
  try {
    return { name, addresses: await resolver.addressesOf(name), error: null };
  } catch (thrown) {
    return { name, addresses: [], error: reasonOf(thrown) };
  }
}

async function caaSeen(resolver: Resolver, name: string): Promise<CaaSeen> {
  try {
    for (let at = name.replace(/^\*\./, ''); at !== ''; at = at.includes('.') ? at.slice(at.indexOf('.') + 1) : '') {
      const { message } = await resolver.ask({ name: at, type: dnsTypes.CAA });
      const records = message.answers.flatMap((record) => (record.type === dnsTypes.CAA ? (caaOf(record.data) ?? []) : []));
      if (records.length > 0) return { name, records, at, error: null };
    }
    return { name, records: [], at: name, error: null };
  } catch (thrown) {
    return { name, records: [], at: name, error: reasonOf(thrown) };
  }
}

const newCheck = ({ random }: BeforeOptions, kind: ChallengeKind, identifier: string): Check => ({ kind, identifier, token: `check-${random(16).toString('hex')}`, proof: `${random(32).toString('base64url')}` });

/** Makes a record as an order would, waits until it shows, and takes it away. */
async function tryRecord(options: BeforeOptions, settings: Pick<AcmeSettings, 'dns' | 'challenge'>, name: string): Promise<Judgement> {
  const proofs = openProofs(options, settings, AbortSignal.any([options.signal, AbortSignal.timeout(dnsTimeoutMs)]));
  const check = newCheck(options, 'dns-01', name);
  try {
    await proofs.prepare(check);
    return { status: 'ok', verdict: `a record _acme-challenge.${name} can be made, and its name servers show it` };
  } catch (thrown) {
    if (!isFault(thrown, 'closed') || options.signal.aborted) throw thrown;
    throw new Fault('timeout', `a record _acme-challenge.${name} was not made and shown by its name servers within ${dnsTimeoutMs / 1000} s`, { remedy: 'An order waits longer. Are secondaries told of changes at once? Those that need not be asked are left out by "check".' });
  } finally {
    await proofs.cleanUp(check);
  }
}

/** At most two addresses of a name: one IPv4, one IPv6. */
async function answersSeen(options: BeforeOptions, settings: Pick<AcmeSettings, 'dns' | 'challenge'>, { name, addresses }: AddressesSeen, port: number): Promise<AnswerSeen[]> {
  const proofs = openProofs(options, settings, options.signal);
  const check = newCheck(options, settings.challenge, name);
  const tried = [addresses.find((each) => !each.includes(':')), addresses.find((each) => each.includes(':'))].filter((each) => each !== undefined);
  try {
    await proofs.prepare(check);
    const look = settings.challenge === 'http-01' ? lookByHttp : lookByTls;
    return await Promise.all(tried.map(async (address) => ({ name, address, ...(await look(check, address, port)) })));
  } finally {
    await proofs.cleanUp(check);
  }
}

type Found = Pick<AnswerSeen, 'found' | 'detail'>;

function lookByHttp(check: Check, address: string, port: number): Promise<Found> {
  return new Promise((resolve) => {
    const silent = (error: unknown) => resolve({ found: 'silent', detail: reasonOf(error) });
    const sent = request({ host: address, port, path: challengePath + check.token, headers: { host: check.identifier }, agent: false, signal: AbortSignal.timeout(answerTimeoutMs) }, (response) => {
      let text = '';
      response.setEncoding('latin1');
      response.on('data', (piece: string) => {
        text += piece;
        if (text.length > limits.acmeCommandOutputBytesMax) response.destroy();
      });
      response.once('error', silent);
      response.once('close', () => resolve(text.trim() === check.proof ? { found: 'ours', detail: '' } : { found: 'other', detail: `status ${response.statusCode}, and not our answer` }));
    });
    sent.once('error', silent);
    sent.end();
  });
}

function lookByTls(check: Check, address: string, port: number): Promise<Found> {
  const serverName = challengeServerName(check.identifier);
  // The last bytes of the extension are the digest itself (RFC 8737 §3), inside two OCTET STRINGs.
  const digest = createHash('sha256').update(check.proof).digest();
  return new Promise((resolve) => {
    const socket = connectTls({ host: address, port, servername: serverName, ALPNProtocols: ['acme-tls/1'], rejectUnauthorized: false, timeout: answerTimeoutMs });
    const finish = (found: Found) => {
      socket.destroy();
      resolve(found);
    };
    socket.once('timeout', () => finish({ found: 'silent', detail: 'no answer' }));
    socket.once('error', (error: NodeJS.ErrnoException) => finish({ found: error.code?.startsWith('ERR_SSL') ? 'other' : 'silent', detail: reasonOf(error) }));
    socket.once('secureConnect', () => {
      const shown: X509Certificate | undefined = socket.getPeerX509Certificate();
      finish(socket.alpnProtocol === 'acme-tls/1' && shown?.raw.includes(digest) ? { found: 'ours', detail: '' } : { found: 'other', detail: 'another certificate than ours' });
    });
  });
}
