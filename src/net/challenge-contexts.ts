// TLS contexts that answer TLS-ALPN-01: made when somebody asks for a name that an order waits for, kept as long as the order waits.
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import type { AcmeAnswer } from '#model/acme-answers.ts';
import type { Table } from '#model/table.ts';

/** For a canonical server name; null: nobody was asked to look for it. */
export function buildChallengeContexts(table: Table<AcmeAnswer>): (serverName: string) => SecureContext | null {
  const contexts = new WeakMap<AcmeAnswer, SecureContext>();
  return (serverName) => {
    const answer = table.size === 0 ? undefined : table.get(`tls-alpn-01 ${serverName}`);
    if (!answer) return null;
    let context = contexts.get(answer);
    if (!context) contexts.set(answer, (context = createSecureContext({ cert: answer.certPem, key: answer.keyPem, minVersion: 'TLSv1.2' })));
    return context;
  };
}
