// Before a certificate is swapped: what changes in it, and who trusts what it was. Who is found in configuration and tables is named, with what to
// change there; of what stands elsewhere (a PBX, a device) the values to enter are said.
import type { X509Certificate } from 'node:crypto';
import { isForClients, lineOf, readChain, titleOfName } from './certificate-facts.ts';
import { keyKindOf } from './certificate-key.ts';
import { coverageOf, namesOfCertificate } from './certificate-names.ts';
import type { ServedName } from './certificate-uses.ts';
import type { Config } from './config.ts';
import { fingerprintOf, keyFingerprintOf } from './fingerprint.ts';
import type { Certificate, Device } from './rows.ts';

export interface CertificateChange {
  readonly what: 'subject' | 'issuer' | 'names' | 'key' | 'key kind' | 'fingerprint' | 'valid until';
  readonly before: string | null;
  readonly after: string | null;
}

export interface TrustLine {
  readonly kind: 'upstream' | 'proxy-subject' | 'route' | 'tls-policy' | 'device' | 'agent' | 'host' | 'clients';
  /** Of the route, policy, device, agent or host. */
  readonly name: string;
  /** Where the configuration names it: `routes[3].target.verify`; null: it is not in the configuration. */
  readonly path: string | null;
  /** change: it stops working unless that is changed · look: only where the old one is pinned, which nobody here can know. */
  readonly severity: 'change' | 'look';
  readonly because: readonly ('subject' | 'issuer' | 'key' | 'fingerprint' | 'names')[];
  readonly text: string;
  readonly remedy: string;
}

export interface SwapQuestion {
  readonly before: Pick<Certificate, 'id' | 'name' | 'chainPem'>;
  /** null: it goes, and nothing comes. */
  readonly afterChainPem: string | null;
  readonly config: Config;
  /** Of the private CA, which policies with `ca: private` ask for. */
  readonly caPem: string;
  readonly served: readonly ServedName[];
  readonly devices: Iterable<Pick<Device, 'name' | 'label' | 'ports'>>;
  /** Agents that are handed this certificate, and the name under which they put it in place. */
  readonly deliveries: Iterable<{ readonly agent: string; readonly asName: string }>;
  /** Their local policies, as they announced them. */
  readonly agents: Iterable<{ readonly name: string; readonly policy: string | null }>;
}

export interface SwapImpact {
  readonly changes: readonly CertificateChange[];
  /** Those that must be changed first. */
  readonly trusts: readonly TrustLine[];
  /** Lines beyond those listed. */
  readonly omitted: number;
}

const linesMax = 500;

interface Facts {
  readonly chain: readonly X509Certificate[];
  readonly leaf: X509Certificate;
  readonly commonName: string | null;
  readonly subject: string;
  readonly issuer: string;
  readonly key: string;
  readonly fingerprint: string;
}

function factsOfChain(pem: string): Facts {
  const chain = readChain(pem);
  const leaf = chain[0]!;
  return { chain, leaf, commonName: /^CN=(.*)$/m.exec(leaf.subject ?? '')?.[1] ?? null, subject: lineOf(leaf.subject), issuer: lineOf(leaf.issuer), key: keyFingerprintOf(leaf), fingerprint: fingerprintOf(leaf) };
}

const namesLine = ({ leaf }: Facts) => {
  const { dns, ip } = namesOfCertificate(leaf);
  return [...dns, ...ip].sort().join(', ');
};

function changesBetween(before: Facts, after: Facts | null): CertificateChange[] {
  const rows: [CertificateChange['what'], (facts: Facts) => string][] = [
    ['subject', (facts) => facts.subject],
    ['issuer', (facts) => facts.issuer],
    ['names', namesLine],
    ['key kind', (facts) => keyKindOf(facts.leaf.publicKey)],
    ['key', (facts) => facts.key],
    ['fingerprint', (facts) => facts.fingerprint],
    ['valid until', (facts) => facts.leaf.validToDate.toISOString().slice(0, 10)],
  ];
  return rows.map(([what, of]) => ({ what, before: of(before), after: after && of(after) })).filter((each) => each.before !== each.after);
}

const isSignedBy = (certificate: X509Certificate, anchor: X509Certificate): boolean => {
  try {
    return certificate.checkIssued(anchor) && certificate.verify(anchor.publicKey);
  } catch {
    return false; // keys of kinds that do not go together
  }
};

/** Does one of these vouch for the chain: is it in it, or did it sign a part of it? */
function vouches(anchors: readonly X509Certificate[], { chain }: Facts): boolean {
  const known = new Set(anchors.map((each) => each.fingerprint256));
  return chain.some((each) => known.has(each.fingerprint256) || anchors.some((anchor) => isSignedBy(each, anchor)));
}

function anchorsIn(pem: string): X509Certificate[] {
  try {
    return readChain(pem);
  } catch {
    return []; // what nobody can read vouches for nobody
  }
}

const plainHex = (text: string) => text.replaceAll(':', '').toLowerCase();

interface Swap {
  readonly question: SwapQuestion;
  readonly old: Facts;
  readonly next: Facts | null;
  readonly because: TrustLine['because'];
  /** How people call the new one. */
  readonly nextLine: string;
}

export function swapImpact(question: SwapQuestion): SwapImpact {
  if (question.before.chainPem === null) return { changes: [], trusts: [], omitted: 0 };
  const old = factsOfChain(question.before.chainPem);
  const next = question.afterChainPem === null ? null : factsOfChain(question.afterChainPem);
  const changes = changesBetween(old, next);
  const because = (['subject', 'issuer', 'key', 'fingerprint', 'names'] as const).filter((each) => changes.some(({ what }) => what === each));
  const swap: Swap = { question, old, next, because, nextLine: next === null ? 'nothing' : next.subject || 'a certificate without a subject' };
  const trusts = because.length === 0 ? [] : [...upstreamLines(swap), ...subjectLines(swap), ...pinLines(swap), ...policyLines(swap), ...deviceLines(swap), ...hostLines(swap)];
  trusts.sort((a, b) => Number(a.severity === 'look') - Number(b.severity === 'look'));
  return { changes, trusts: trusts.slice(0, linesMax), omitted: Math.max(0, trusts.length - linesMax) };
}

/** Servers that the certificate is shown to: PBXes compare its subject ("proxy subject"), others pin it. */
function upstreamLines({ question, old, next, because }: Swap): TrustLine[] {
  return question.config.routes.flatMap(({ name, target }, index): TrustLine[] => {
    if (target.kind !== 'tls' || target.certificate !== question.before.name) return [];
    const server = `${target.host}:${target.port}`;
    const path = `routes[${index}].target.certificate`;
    if (next === null) return [{ kind: 'upstream', name, path, severity: 'change', because, text: `${server}, behind route ${name}, is shown this certificate`, remedy: `Let the route name another certificate, or none, and tell the server.` }];
    const steps: string[] = [];
    if (because.includes('subject')) steps.push(`change the subject that it expects (proxy subject) from ${old.commonName ?? old.subject} to ${next.commonName ?? next.subject}`);
    if (because.includes('issuer')) steps.push(`let it trust ${titleOfName(next.leaf.issuer)} instead of ${titleOfName(old.leaf.issuer)}`);
    if (because.includes('key')) steps.push(`where the key is pinned, enter ${next.key}`);
    if (because.includes('fingerprint')) steps.push(`where the certificate is pinned, enter ${next.fingerprint}`);
    if (steps.length === 0) return [];
    const severity = because.includes('subject') || because.includes('issuer') ? 'change' : 'look';
    return [{ kind: 'upstream', name, path, severity, because, text: `${server}, behind route ${name}, is shown this certificate`, remedy: `On that server: ${steps.join('; ')}.` }];
  });
}

/** Places of our own configuration that know somebody by the old common name. */
function subjectLines({ question, old, next, nextLine }: Swap): TrustLine[] {
  const { config } = question;
  const wanted = old.commonName?.toLowerCase();
  if (wanted === undefined || next?.commonName?.toLowerCase() === wanted || !isForClients(old.leaf)) return [];
  const line = (kind: TrustLine['kind'], name: string, path: string, what: string): TrustLine => ({
    kind, name, path, severity: 'look', because: ['subject'], text: `${what} expects the subject ${old.commonName}`,
    remedy: next?.commonName ? `If it means a machine that shows this very certificate, change ${path} to ${next.commonName}.` : `If it means a machine that shows this very certificate, ${path} fits ${nextLine} no longer.`,
  });
  const proxies = config.trustedProxies.flatMap((each, index) => (each.subject?.toLowerCase() === wanted ? [line('proxy-subject', each.from, `trustedProxies[${index}].subject`, `the trusted proxy ${each.from}`)] : []));
  const routes = config.routes.flatMap((each, index) => (each.clientCertificate?.subject?.toLowerCase() === wanted ? [line('route', each.name, `routes[${index}].clientCertificate.subject`, `route ${each.name}`)] : []));
  return [...proxies, ...routes];
}

/** Upstreams of ours that are recognised by the old certificate: another port of this gateway, or a server with a copy. */
function pinLines({ question, old, next }: Swap): TrustLine[] {
  const oldNames = namesOfCertificate(old.leaf);
  return question.config.routes.flatMap(({ name, target }, index): TrustLine[] => {
    if (target.kind !== 'tls') return [];
    const { verify } = target;
    const path = `routes[${index}].target.verify`;
    const server = `${target.host}:${target.port}`;
    if (verify.by === 'fingerprint') {
      if (plainHex(verify.sha256) !== old.fingerprint || next?.fingerprint === old.fingerprint) return [];
      return [{ kind: 'route', name, path: `${path}.sha256`, severity: 'change', because: ['fingerprint'], text: `route ${name} recognises ${server} by the fingerprint of this certificate`, remedy: next ? `When ${server} shows the new one, change ${path}.sha256 to ${next.fingerprint}.` : `Change ${path} when ${server} shows another one.` }];
    }
    const anchors = verify.ca === undefined ? [] : anchorsIn(verify.ca);
    const isPinned = anchors.some((each) => each.fingerprint256 === old.leaf.fingerprint256);
    const isNamed = coverageOf(oldNames, target.host) !== null && vouches(anchors, old);
    if (anchors.length === 0 || (!isPinned && !isNamed) || (next && vouches(anchors, next))) return [];
    return [{ kind: 'route', name, path: `${path}.ca`, severity: 'change', because: ['issuer'], text: `route ${name} accepts ${server} by a CA that vouches for this certificate and not for the next`, remedy: next ? `Add ${titleOfName(next.leaf.issuer)} to ${path}.ca.` : `Change ${path}.ca when ${server} shows another one.` }];
  });
}

/** TLS policies whose CA lets clients with the old one in and not with the new one. */
function policyLines({ question, old, next }: Swap): TrustLine[] {
  if (!isForClients(old.leaf)) return [];
  return question.config.tlsPolicies.flatMap((policy, index): TrustLine[] => {
    const ca = policy.clientCertificates?.ca;
    if (ca === undefined) return [];
    const anchors = anchorsIn(ca === 'private' ? question.caPem : ca);
    if (!vouches(anchors, old) || (next && vouches(anchors, next))) return [];
    const path = `tlsPolicies[${index}].clientCertificates.ca`;
    return [{ kind: 'tls-policy', name: policy.name, path, severity: 'look', because: ['issuer'], text: `TLS policy ${policy.name} lets clients in that show this certificate`, remedy: next ? `If some do, add ${titleOfName(next.leaf.issuer)} to ${path}, or give them a certificate of the CA that stands there.` : `If some do, give them another one.` }];
  });
}

function deviceLines(swap: Swap): TrustLine[] {
  const { question, old, next } = swap;
  if (next?.fingerprint === old.fingerprint) return [];
  const lines: TrustLine[] = [];
  for (const device of question.devices) {
    for (const port of device.ports) {
      if (port.kind !== 'https' || port.fingerprint !== old.fingerprint) continue;
      lines.push({
        kind: 'device', name: device.label, path: null, severity: 'look', because: ['fingerprint'], text: `port ${port.number} of ${device.name} shows this very certificate, and its fingerprint is the accepted one`,
        remedy: `When the new one is installed there: postern device forget-certificate ${device.label} ${port.number}`,
      });
    }
  }
  for (const { agent, asName } of question.deliveries) {
    lines.push({
      kind: 'agent', name: agent, path: null, severity: next ? 'look' : 'change', because: swap.because, text: `the agent ${agent} has it in place as ${asName}, for the application beside it`,
      remedy: next ? 'It is handed the new one by itself. Whoever pinned the certificate at that application needs the new pins.' : 'What is in place there stays, and is not renewed any more.',
    });
  }
  const marks = [old.fingerprint, old.key, Buffer.from(old.key, 'hex').toString('base64')];
  for (const { name, policy } of question.agents) {
    if (policy === null || !marks.some((mark) => policy.includes(mark) && mark !== next?.key)) continue;
    lines.push({ kind: 'agent', name, path: null, severity: 'change', because: ['key', 'fingerprint'], text: `the local policy of the agent ${name} names this certificate or its key`, remedy: next ? `On its machine, change that to ${next.fingerprint} (certificate) or ${next.key} (key).` : 'On its machine, take it out.' });
  }
  return lines;
}

/** Names that it answers to now: lost ones, and who may have pinned it. */
function hostLines({ question, next, because }: Swap): TrustLine[] {
  const mine = question.served.filter((each) => each.certificate?.id === question.before.id);
  if (mine.length === 0) return [];
  const names = next && namesOfCertificate(next.leaf);
  const isKept = (host: string) => names !== null && coverageOf(names, host) !== null;
  const lost = mine.filter((each) => !isKept(each.host));
  const lines: TrustLine[] = lost.map(({ host }) => ({ kind: 'host', name: host, path: null, severity: 'change', because: ['names'], text: `${host} is no longer named`, remedy: 'Another certificate that names it answers there, else the private CA, which browsers of strangers do not trust.' }));
  const kept = mine.filter((each) => isKept(each.host)).map((each) => each.host);
  if (next && kept.length > 0 && (because.includes('key') || because.includes('fingerprint') || because.includes('issuer'))) {
    const steps = [
      ...(because.includes('key') ? [`the key's pin (SPKI SHA-256) is ${next.key}, in base64 ${Buffer.from(next.key, 'hex').toString('base64')}`] : []),
      ...(because.includes('fingerprint') ? [`the certificate's SHA-256 is ${next.fingerprint}`] : []),
      ...(because.includes('issuer') ? [`it is signed by ${titleOfName(next.leaf.issuer)}`] : []),
    ];
    lines.push({ kind: 'clients', name: kept.slice(0, 10).join(', '), path: null, severity: 'look', because: because.filter((each) => each !== 'names' && each !== 'subject'), text: `devices and programs that come to ${kept.slice(0, 10).join(', ')}${kept.length > 10 ? ` and ${kept.length - 10} more names` : ''} may have pinned it`, remedy: `There: ${steps.join('; ')}.` });
  }
  return lines;
}
