// LDAP behind the first message: two sockets joined, every message of the client judged before a byte of it goes on. What is refused is answered
// in LDAP (docs/wire/ldap.md).
import type { Duplex } from 'node:stream';
import { relay } from '#net/relay.ts';
import type { RelayRefusal } from '#net/relay.ts';
import type { Sweep } from '#net/sweep.ts';
import { encodeLdapRefusal } from '#wire/ldap-answers.ts';
import { LdapAnswers, LdapStream } from '#wire/ldap-stream.ts';
import type { LdapFacts } from '#wire/ldap.ts';

/** What a bind or a search asks for; a bind without a domain (anonymous, SASL) has null. */
export interface LdapAsked extends Pick<LdapFacts, 'op' | 'domain' | 'user' | 'sasl'> {
  /** The upstream has taken a bind that names somebody, and none was asked for since. */
  readonly isBound: boolean;
}

export interface LdapRelayOptions {
  readonly sweep: Sweep;
  readonly idleMs: number;
  /** Bytes of the client that were looked at and not sent on; they are judged like all others. */
  readonly first: Buffer;
  /** Asked for every bind and every search, the first included. Null lets it pass, else it says why not; for the journal, the client sees none of it. */
  readonly judge: (asked: LdapAsked) => string | null;
  /** At most once, before the connection ends. */
  readonly onRefused: (why: string) => void;
  readonly onBytes?: (fromClient: number, fromUpstream: number) => void;
}

/** Resolves when both are closed, with why. */
export function relayLdap(client: Duplex, upstream: Duplex, options: LdapRelayOptions): Promise<{ why: string }> {
  const { judge, onRefused } = options;
  let isBound = false;
  let names = false;
  const asked = new LdapStream(
    (facts) => {
      if (facts.op !== 'bind' && facts.op !== 'search') return null;
      const { op, domain, user, sasl } = facts;
      const why = judge({ op, domain, user, sasl, isBound });
      // Nobody is bound while a bind is on its way (RFC 4511 §4.2.1), and an anonymous one binds nobody.
      if (op === 'bind') {
        isBound = false;
        names = user !== null || sasl !== null;
      }
      return why;
    },
    (success) => void (isBound = success && names),
  );
  const answers = new LdapAnswers(asked);
  return relay(client, upstream, {
    sweep: options.sweep,
    idleMs: options.idleMs,
    leftoverA: options.first,
    ...(options.onBytes && { onBytes: options.onBytes }),
    inspectA: (piece) => {
      const judged = asked.push(piece);
      if (!('why' in judged)) return judged;
      onRefused(judged.why);
      const refusal: RelayRefusal = { why: judged.why, pass: judged.pass };
      return answers.isBetweenMessages ? { ...refusal, answer: encodeLdapRefusal(judged.facts) } : refusal;
    },
    inspectB: (piece) => {
      const why = answers.push(piece);
      if (why === null) return piece;
      onRefused(why);
      return { why };
    },
  });
}
