// What an ACME authority says when it refuses (RFC 8555 §6.7, §8), in plain words: what it said, of which name, and what to do about it.
import { Fault, type FaultCode } from '#base/fault.ts';
import { printable } from '#base/log.ts';

export interface AcmeProblem {
  readonly type: string;
  readonly detail: string;
  /** The name that it is about; null: the whole request. */
  readonly identifier: string | null;
  readonly status: number | null;
  readonly subproblems: readonly AcmeProblem[];
}

const prefix = 'urn:ietf:params:acme:error:';
const subproblemsShown = 5;

/** A problem document as it came; null: it is none. Never throws. */
export function parseProblem(document: unknown, depth = 0): AcmeProblem | null {
  if (typeof document !== 'object' || document === null) return null;
  const { type, detail, identifier, status, subproblems } = document as Readonly<Record<string, unknown>>;
  if (typeof type !== 'string' && typeof detail !== 'string') return null;
  const value = typeof identifier === 'object' && identifier !== null ? (identifier as Readonly<Record<string, unknown>>)['value'] : null;
  return {
    type: typeof type === 'string' ? (type.startsWith(prefix) ? type.slice(prefix.length) : type) : 'about:blank',
    detail: typeof detail === 'string' ? detail : '',
    identifier: typeof value === 'string' ? value : null,
    status: typeof status === 'number' ? status : null,
    subproblems: depth === 0 && Array.isArray(subproblems) ? subproblems.slice(0, 100).flatMap((each) => parseProblem(each, 1) ?? []) : [],
  };
}

interface Meaning {
  readonly code: FaultCode;
  readonly words: string;
  readonly remedy: string;
}

const meanings: Readonly<Record<string, Meaning>> = {
  accountDoesNotExist: { code: 'not-found', words: 'does not know our account', remedy: 'Register the account again.' },
  alreadyRevoked: { code: 'gone', words: 'has revoked this already', remedy: '' },
  badCSR: { code: 'bad-input', words: 'does not accept the request', remedy: 'Choose another kind of key, or fewer names.' },
  badPublicKey: { code: 'bad-input', words: 'does not accept this kind of key', remedy: 'Choose another kind of key.' },
  badNonce: { code: 'busy', words: 'refused our message number again and again', remedy: 'Try again later.' },
  caa: { code: 'forbidden', words: 'may not give certificates for this name: its CAA records in DNS name other authorities', remedy: 'Add a CAA record "0 issue" with the domain of this authority.' },
  compound: { code: 'forbidden', words: 'found several things wrong', remedy: '' },
  connection: { code: 'unreachable', words: 'could not connect to this gateway', remedy: 'Does the name lead here from outside, and do router and firewall let port 80 (http-01) or 443 (tls-alpn-01) in?' },
  dns: { code: 'unreachable', words: 'could not look the name up in DNS', remedy: 'Does the name exist in public DNS, and do its name servers answer? For dns-01: is the record where the authority looks?' },
  externalAccountRequired: { code: 'bad-input', words: 'wants an external account', remedy: 'Get a key identifier and HMAC key from it and give them with the order (eab).' },
  incorrectResponse: { code: 'forbidden', words: 'found another answer than ours', remedy: 'Something else answers for this name: an old address in DNS, another server on the port, or a proxy in between.' },
  invalidContact: { code: 'bad-input', words: 'does not accept the contact address', remedy: 'Give a working mail address.' },
  malformed: { code: 'bad-input', words: 'does not understand the order', remedy: '' },
  orderNotReady: { code: 'conflict', words: 'has not finished its checks', remedy: 'Try again.' },
  rateLimited: { code: 'too-many', words: 'has a limit that is reached', remedy: 'Wait; until then nothing is asked again. Its staging directory has higher limits for trying things out.' },
  rejectedIdentifier: { code: 'forbidden', words: 'gives no certificates for this name', remedy: 'Names that are only known inside, and names on its own lists, are refused; the private CA gives certificates for them.' },
  serverInternal: { code: 'busy', words: 'had an error of its own', remedy: 'It is tried again later.' },
  tls: { code: 'unreachable', words: 'met an error of TLS when it connected', remedy: 'For tls-alpn-01 nothing between the authority and this gateway may end TLS: a proxy or load balancer has to pass it through.' },
  unauthorized: { code: 'forbidden', words: 'did not find the proof that the name is ours', remedy: 'Does the name lead here for everybody (IPv6 too), and does no other server answer on that port? For dns-01: do all name servers show the record?' },
  unsupportedContact: { code: 'bad-input', words: 'does not take this kind of contact', remedy: 'Give a mail address.' },
  unsupportedIdentifier: { code: 'bad-input', words: 'gives no certificates for this kind of name', remedy: '' },
  userActionRequired: { code: 'conflict', words: 'wants something from a person first', remedy: 'Open the address that it names; its terms may have changed.' },
};

const unknownMeaning: Meaning = { code: 'protocol', words: 'refused', remedy: '' };

/**
 * `authority`: host of the directory. `name`: what the request was about when the problem does not say. The Fault's detail holds `type`, `status`,
 * `identifiers` and, where the authority asked to wait, `retryAfterMs`.
 */
export function faultOfProblem(problem: AcmeProblem, context: { readonly authority: string; readonly name: string | null; readonly retryAfterMs: number | null }): Fault {
  const meaning = meanings[problem.type] ?? (problem.status === 429 ? meanings['rateLimited']! : (problem.status ?? 0) >= 500 ? meanings['serverInternal']! : unknownMeaning);
  // A compound one says nothing itself; the first of its parts does.
  const leading = meanings[problem.subproblems[0]?.type ?? ''];
  const remedy = meaning.remedy || leading?.remedy || '';
  const about = problem.identifier ?? context.name;
  const said = printable(problem.detail, 300);
  const parts = problem.subproblems.slice(0, subproblemsShown).map((each) => `${each.identifier === null ? '' : `${printable(each.identifier, 253)}: `}${meanings[each.type]?.words ?? each.type} (${printable(each.detail, 150)})`);
  const more = problem.subproblems.length > subproblemsShown ? `; and ${problem.subproblems.length - subproblemsShown} more` : '';
  const wait = context.retryAfterMs === null ? '' : `; it asks to wait ${durationOf(context.retryAfterMs)}`;
  const message = `${context.authority} ${meaning.words}${about === null ? '' : `, for ${printable(about, 253)}`}${said === '' ? '' : `. It said: ${said}`}${parts.length > 0 ? ` [${parts.join('; ')}${more}]` : ''}${wait}`;
  return new Fault(meaning.code, message, {
    ...(remedy === '' ? {} : { remedy }),
    detail: { type: problem.type, status: problem.status, identifiers: [about, ...problem.subproblems.map((each) => each.identifier)].filter((each) => each !== null), ...(context.retryAfterMs === null ? {} : { retryAfterMs: context.retryAfterMs }) },
  });
}

export function durationOf(ms: number): string {
  if (ms < 120_000) return `${Math.max(1, Math.ceil(ms / 1000))} seconds`;
  if (ms < 2 * 3_600_000) return `${Math.ceil(ms / 60_000)} minutes`;
  return ms < 48 * 3_600_000 ? `${Math.ceil(ms / 3_600_000)} hours` : `${Math.ceil(ms / 86_400_000)} days`;
}

/** RFC 9110 §10.2.3: seconds or a date. Null: none, or neither. At most a week. */
export function retryAfterOf(header: string | undefined, nowMs: number): number | null {
  if (header === undefined) return null;
  const text = header.trim();
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(ms) ? null : Math.min(Math.max(0, ms), 7 * 86_400_000);
}
