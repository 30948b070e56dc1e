// What this gateway answers when an authority looks for the proof that a name is ours: gateway-owned, passing, there only while an order waits.
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { buildTable, type Table } from './table.ts';

export interface AcmeAnswer {
  readonly kind: 'http-01' | 'tls-alpn-01';
  /** http-01: the token; tls-alpn-01: the server name that is asked for. */
  readonly asked: string;
  /** http-01: the body; tls-alpn-01: empty. */
  readonly body: string;
  /** tls-alpn-01: certificate and key. */
  readonly certPem: string;
  readonly keyPem: string;
}

export interface AcmeAnswers {
  readonly table: Table<AcmeAnswer>;
  /** Fault `conflict`: another order waits for that name; `too-many`. */
  put(answer: AcmeAnswer): void;
  remove(answer: AcmeAnswer): void;
  /** Body for a token that is ours and waiting; null: the path is whoever's it was before. */
  bodyOf(token: string): string | null;
}

const keyOf = ({ kind, asked }: Pick<AcmeAnswer, 'kind' | 'asked'>): string => `${kind} ${asked}`;

export const challengePath = '/.well-known/acme-challenge/';

/** The token that a request's target asks for (RFC 8555 §8.3: base64url); null: it asks for something else. */
export function tokenIn(target: string): string | null {
  if (!target.startsWith(challengePath)) return null;
  const token = target.slice(challengePath.length);
  return /^[A-Za-z0-9_-]{1,200}$/.test(token) ? token : null;
}

export function buildAcmeAnswers(): AcmeAnswers {
  const table = buildTable<AcmeAnswer>({ name: 'acmeAnswers', kind: 'passing', keyOf });
  return {
    table,
    put(answer) {
      if (table.get(keyOf(answer))) throw new Fault('conflict', `another order waits for the check of ${answer.asked}`, { remedy: 'Wait until it is done.' });
      if (table.size >= limits.acmeAnswersMax) throw new Fault('too-many', `${limits.acmeAnswersMax} checks of authorities are waited for already`);
      table.publish({ put: [answer] });
    },
    remove(answer) {
      // Only our own: after a conflict there is somebody else's.
      if (table.get(keyOf(answer)) === answer) table.publish({ removed: [keyOf(answer)] });
    },
    bodyOf(token) {
      return table.size === 0 ? null : (table.get(`http-01 ${token}`)?.body ?? null);
    },
  };
}
