// ACME (RFC 8555): accounts, orders, checks, certificates. The only file that loads acme-client.
import type { Authorization, Client, Order } from 'acme-client';
import { sleep, type Clock } from '#base/clock.ts';
import { Fault, isFault, reasonOf } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { faultOfProblem, parseProblem, retryAfterOf } from '#model/acme-problem.ts';
import type { ChallengeKind } from '#model/acme.ts';
import type { CertificateNames } from '#model/rows.ts';
import { askAuthority, type AcmeHttpAnswer } from './acme-http.ts';

/** The identifier and key that some authorities give to their customers (RFC 8555 §7.3.4). */
export interface ExternalAccount {
  readonly keyId: string;
  /** base64url. */
  readonly hmacKey: string;
}

export interface SessionOptions {
  readonly directoryUrl: string;
  /** PKCS#8 in PEM: EC P-256 or RSA. */
  readonly accountKeyPem: string;
  /** null: not registered yet. */
  readonly accountUrl: string | null;
  readonly externalAccount: ExternalAccount | null;
  /** For a private ACME server; null: the system's roots. */
  readonly rootPem: string | null;
  readonly version: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

export interface Check {
  readonly kind: ChallengeKind;
  /** A name or an address, without `*.`. */
  readonly identifier: string;
  readonly token: string;
  /** http-01 and tls-alpn-01: the key authorisation; dns-01: what the TXT record holds. */
  readonly proof: string;
}

export type OrderState = 'ordering' | 'preparing' | 'checking' | 'finishing' | 'fetching';

export interface OrderRequest {
  readonly names: CertificateNames;
  readonly kind: ChallengeKind;
  /** PKCS#10 in PEM, for exactly these names. */
  readonly csrPem: string;
  /** Makes the proof visible; resolves when the authority may look. Called for one after the other. */
  prepare(check: Check): Promise<void>;
  /** Undoes `prepare`; called for each that was begun, whatever became of it. */
  cleanUp(check: Check): Promise<void>;
  onState(state: OrderState, about: string): void;
}

export interface AcmeSession {
  readonly authority: string;
  /** Terms that a person has to agree to, or null. */
  termsUrl(): Promise<string | null>;
  /** Registers, finds again or changes the account; resolves its address. */
  register(account: { readonly contact: string | null; readonly termsAgreed: boolean }): Promise<string>;
  /** Resolves the chain in PEM, leaf first. */
  order(request: OrderRequest): Promise<string>;
}

/** What of acme-client's inside is replaced: its requests know neither roots nor limits of ours, and lose most of what a refusal says. */
interface Replaceable {
  readonly http: {
    request(url: string, method: string, options?: { data?: unknown }): Promise<AcmeHttpAnswer>;
    /** Of the directory's `meta`; null without it. */
    getMetaField(field: string): Promise<unknown>;
  };
}

const pollMs = [1_000, 2_000, 3_000, 5_000];
/** So often a question about an order may fail before the order is given up. */
const pollFailuresMax = 5;

/** Loading stops everything else for up to half a second (measured): who will need it loads it at the start, and nobody else at all. */
export const loadAcmeClient = () => import('acme-client');

export async function openAcmeSession(options: SessionOptions): Promise<AcmeSession> {
  const { clock, signal } = options;
  const authority = new URL(options.directoryUrl).host;
  const { Client: AcmeClient } = await loadAcmeClient();
  const client = new AcmeClient({
    directoryUrl: options.directoryUrl,
    accountKey: options.accountKeyPem,
    ...(options.accountUrl === null ? {} : { accountUrl: options.accountUrl }),
    ...(options.externalAccount ? { externalAccountBinding: { kid: options.externalAccount.keyId, hmacKey: options.externalAccount.hmacKey } } : {}),
  });
  let about: string | null = null;
  let retryAfterMs: number | null = null;
  const { http } = client as unknown as Replaceable;
  http.request = async (url, method, given = {}) => {
    const answer = await askAuthority(url, method, given.data, { rootPem: options.rootPem, authority, userAgent: `Postern/${options.version}`, nowMs: () => clock.nowMs(), signal, about: () => about });
    retryAfterMs = retryAfterOf(answer.headers['retry-after'], clock.nowMs());
    return answer;
  };
  /** What acme-client itself throws is an Error of few words. */
  const ask = async <Result>(what: string, name: string | null, run: () => Promise<Result>): Promise<Result> => {
    about = name;
    try {
      return await run();
    } catch (thrown) {
      if (isFault(thrown)) throw thrown;
      throw new Fault('protocol', `${authority} did not behave as an ACME server when asked to ${what}: ${reasonOf(thrown)}`, { cause: thrown });
    }
  };

  /** Asks again and again until `isDone`; the authority says how long to wait (RFC 8555 §7.5.1), else we do. */
  const poll = async <Item>(look: () => Promise<Item>, isDone: (item: Item) => boolean, what: string): Promise<Item> => {
    const endMs = clock.monoMs() + limits.acmeCheckTimeoutMs;
    let failures = 0;
    for (let round = 0; ; round++) {
      // What was asked just before may have said already when to come back.
      if (round > 0 || retryAfterMs !== null) {
        const waitMs = Math.min(Math.max(retryAfterMs ?? pollMs[Math.min(round - 1, pollMs.length - 1)]!, 500), 60_000);
        if (clock.monoMs() + waitMs > endMs) throw new Fault('timeout', `${authority} did not finish ${what} within ${limits.acmeCheckTimeoutMs / 60_000} minutes`);
        await sleep(clock, waitMs, signal);
        if (signal.aborted) throw new Fault('closed', 'it was called off');
      }
      try {
        const item = await look();
        if (isDone(item)) return item;
        failures = 0;
      } catch (thrown) {
        const isPassing = isFault(thrown) && (thrown.code === 'timeout' || thrown.code === 'unreachable' || thrown.code === 'busy') && thrown.detail['type'] === undefined;
        if (!isPassing || ++failures > pollFailuresMax) throw thrown;
        const asked = thrown.detail['retryAfterMs'];
        retryAfterMs = typeof asked === 'number' ? asked : null;
      }
    }
  };

  const refusalOf = (document: unknown, name: string, otherwise: string): Fault => {
    const problem = parseProblem(document);
    return problem ? faultOfProblem(problem, { authority, name, retryAfterMs: null }) : new Fault('forbidden', `${authority} ${otherwise} for ${name}, and does not say why`);
  };

  const prove = async (request: OrderRequest, authorization: Authorization): Promise<void> => {
    const identifier = authorization.identifier.value;
    const challenge = authorization.challenges.find((each) => each.type === request.kind);
    if (!challenge) {
      const offered = authorization.challenges.map((each) => each.type).join(', ') || 'none';
      throw new Fault('unsupported', `${authority} does not offer ${request.kind} for ${identifier}, only ${offered}`, { remedy: 'Choose one of those.', detail: { identifiers: [identifier] } });
    }
    const check: Check = { kind: request.kind, identifier, token: challenge.token, proof: await client.getChallengeKeyAuthorization(challenge) };
    try {
      request.onState('preparing', identifier);
      await request.prepare(check);
      request.onState('checking', identifier);
      await ask('begin a check', identifier, () => client.completeChallenge(challenge));
      const settled = await poll(
        async () => (await ask('tell about a check', identifier, () => client.getAuthorizations({ ...emptyOrder, authorizations: [authorization.url] })))[0]!,
        ({ status }) => status !== 'pending',
        `the check of ${identifier}`,
      );
      if (settled.status === 'valid') return;
      const failed = settled.challenges.find((each) => each.type === request.kind);
      const refusal = refusalOf((failed as { error?: unknown } | undefined)?.error, identifier, `ended the check (${settled.status})`);
      throw new Fault(refusal.code, refusal.message, { ...(refusal.remedy === undefined ? {} : { remedy: refusal.remedy }), detail: { ...refusal.detail, checkFailed: true, identifiers: [identifier] } });
    } finally {
      await request.cleanUp(check);
    }
  };

  return {
    authority,
    termsUrl: () => ask('show its directory', null, () => client.getTermsOfServiceUrl()),
    async register({ contact, termsAgreed }) {
      await ask('register an account', null, () => client.createAccount({ ...(contact === null ? {} : { contact: [`mailto:${contact}`] }), ...(termsAgreed ? { termsOfServiceAgreed: true } : {}) }));
      return client.getAccountUrl();
    },
    order: (request) => placeOrder({ client, ask, poll, prove, refusalOf, profiles: () => http.getMetaField('profiles') }, request),
  };
}

const emptyOrder: Order = { url: '', status: 'pending', identifiers: [], authorizations: [], finalize: '' };

interface OrderParts {
  readonly client: Client;
  ask<Result>(what: string, name: string | null, run: () => Promise<Result>): Promise<Result>;
  poll<Item>(look: () => Promise<Item>, isDone: (item: Item) => boolean, what: string): Promise<Item>;
  prove(request: OrderRequest, authorization: Authorization): Promise<void>;
  refusalOf(document: unknown, name: string, otherwise: string): Fault;
  profiles(): Promise<unknown>;
}

/** Let's Encrypt gives certificates for addresses by this profile alone (six days; announced 2025). */
const addressProfile = 'shortlived';

async function placeOrder({ client, ask, poll, prove, refusalOf, profiles }: OrderParts, request: OrderRequest): Promise<string> {
  const { names } = request;
  const title = [...names.dns, ...names.ip][0]!;
  request.onState('ordering', title);
  const identifiers = [...names.dns.map((value) => ({ type: 'dns', value })), ...names.ip.map((value) => ({ type: 'ip', value }))];
  const offered = names.ip.length === 0 ? null : await ask('show its directory', title, profiles);
  const profile = typeof offered === 'object' && offered !== null && addressProfile in offered ? { profile: addressProfile } : {};
  let order = await ask('take an order', title, () => client.createOrder({ identifiers, ...profile }));
  const authorizations = await ask('list its checks', title, () => client.getAuthorizations(order));
  // One after the other: the same name with and without "*." has two records of one name, and a failure leaves the others unasked.
  for (const authorization of authorizations) if (authorization.status !== 'valid') await prove(request, authorization);
  request.onState('finishing', title);
  const look = () => ask('tell about an order', title, () => client.getOrder(order));
  order = await poll(look, ({ status }) => status !== 'pending', `the order for ${title}`);
  if (order.status === 'ready') {
    order = await ask('finish an order', title, () => client.finalizeOrder(order, request.csrPem));
    if (order.status !== 'valid') order = await poll(look, ({ status }) => status !== 'processing' && status !== 'ready', `the certificate for ${title}`);
  }
  if (order.status !== 'valid') throw refusalOf((order as { error?: unknown }).error, title, `ended the order (${order.status})`);
  request.onState('fetching', title);
  const chain = await ask('hand out the certificate', title, () => client.getCertificate(order));
  if (typeof chain !== 'string' || !chain.includes('-----BEGIN CERTIFICATE-----')) throw new Fault('protocol', 'what the authority handed out is no certificate in PEM');
  return chain;
}
