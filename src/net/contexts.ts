// Contexts of TLS: one for each certificate, level and client CA that is in use, kept because making one takes as long as a handshake.
import { createHash } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import type { TlsLevel } from '#model/tls-level.ts';
import { ticketKeysMs } from './ticket-keys.ts';
import { tlsLevelOptions } from './tls-levels.ts';

/** A chain and its key as handshakes use them. `number` is never given twice in a process. */
export interface Identity {
  readonly number: number;
  /** Leaf first. */
  readonly certPem: string;
  readonly keyPem: string;
}

export interface ContextUse {
  readonly level: TlsLevel;
  /** Whose client certificates are asked for, in PEM; null: none are. */
  readonly clientCaPem: string | null;
}

export const usualUse: ContextUse = { level: 'intermediate', clientCaPem: null };

let identities = 0;

export const newIdentity = (certPem: string, keyPem: string): Identity => ({ number: (identities += 1), certPem, keyPem });

/** Of several identities OpenSSL takes the one whose key the client knows. */
function contextOf(shown: readonly Identity[], use: ContextUse, ticketKeys: Buffer, sessionIdContext: string): SecureContext {
  return createSecureContext({
    ...tlsLevelOptions[use.level],
    key: shown.map((each) => each.keyPem),
    cert: shown.map((each) => each.certPem),
    ...(use.clientCaPem === null ? {} : { ca: use.clientCaPem }),
    sessionIdContext,
    sessionTimeout: ticketKeysMs / 1000,
    ticketKeys,
  });
}

/**
 * A ticket of one policy must not be good at another: where nobody was asked for a certificate, or by another CA, or by weaker ciphers. OpenSSL takes
 * 32 bytes and resumes nothing across different ones, TLS 1.2 and 1.3 alike.
 */
const sessionIdOf = ({ level, clientCaPem }: ContextUse): string => createHash('sha256').update(`${level}\n${clientCaPem ?? ''}`).digest('base64url').slice(0, 32);

/** The link endpoint's. The client's preference does not count there: links are many, and AES-128 is the cheapest for all that have AES in hardware. */
export function linkContextOf(shown: Identity, caPem: string, ticketKeys: Buffer): SecureContext {
  return createSecureContext({
    ...tlsLevelOptions.intermediate,
    honorCipherOrder: true,
    key: shown.keyPem,
    cert: shown.certPem,
    ca: caPem,
    sessionIdContext: 'postern-link',
    sessionTimeout: ticketKeysMs / 1000,
    ticketKeys,
  });
}

export interface Contexts {
  of(shown: readonly Identity[], use: ContextUse): SecureContext;
  /** Forgets all of them: the ticket keys have turned. */
  clear(): void;
  readonly size: number;
}

/** At most `countMax`; the oldest goes and is made again when somebody needs it. */
export function buildContexts(ticketKeys: () => Buffer, countMax: number): Contexts {
  const contexts = new Map<string, SecureContext>();
  // A CA in PEM is long; its number stands for it in keys.
  let caNumbers = new Map<string, number>();
  let caCount = 0;
  const numberOf = (pem: string) => {
    let number = caNumbers.get(pem);
    if (number === undefined) {
      if (caNumbers.size >= countMax) caNumbers = new Map();
      caNumbers.set(pem, (number = caCount += 1));
    }
    return number;
  };
  return {
    of(shown, use) {
      const key = `${shown.map((each) => each.number).join('+')} ${use.level} ${use.clientCaPem === null ? '' : numberOf(use.clientCaPem)}`;
      let context = contexts.get(key);
      if (!context) {
        context = contextOf(shown, use, ticketKeys(), sessionIdOf(use));
        if (contexts.size >= countMax) contexts.delete(contexts.keys().next().value!);
        contexts.set(key, context);
      }
      return context;
    },
    clear: () => contexts.clear(),
    get size() {
      return contexts.size;
    },
  };
}
