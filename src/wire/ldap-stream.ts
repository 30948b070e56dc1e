// An LDAP connection after its first message, one reader a direction: every message of the client is judged before a byte of it goes on, and a SASL
// security layer is believed only when both ends speak it (docs/wire/ldap.md).
import { limits } from '#base/limits.ts';
import { ldapResult } from './ldap-answers.ts';
import { sniffLdap, sniffLdapAnswer } from './ldap.ts';
import type { LdapFacts } from './ldap.ts';

/** Why the connection has to end, and what of the piece was judged before. */
export interface LdapStop {
  readonly why: string;
  readonly pass: Buffer;
  /** The message that was not let through; null when it could not be read. */
  readonly facts: LdapFacts | null;
}

/** Mechanisms that can agree on signing or encryption: RFC 4752, MS-ADTS §3.1.1.3.4.5, RFC 2831, RFC 2222. All others never do. */
const layerMechanisms = new Set(['GSSAPI', 'GSS-SPNEGO', 'DIGEST-MD5', 'NTLM', 'SRP', 'KERBEROS_V4']);

const nothing = Buffer.alloc(0);

/** From client to server. Keeps at most the head of one message; all else is counted and let through. */
export class LdapStream {
  readonly #judge: (facts: LdapFacts) => string | null;
  readonly #onBind: (success: boolean) => void;
  /** Message id of the last bind that was not answered yet; 0: none. */
  #binding = 0;
  /** The head that cannot be judged yet. */
  #held = nothing;
  /** Of the message or buffer that was let through: bytes still to come. */
  #left = 0;
  /** Message id of a bind whose success would allow a layer; 0 for none. */
  #asking = 0;
  #mayLayer = false;
  #isLayered = false;
  #stop: LdapStop | null = null;

  /** `judge` hears of every message but StartTLS, which is refused here; null lets it through, else it says why not. */
  constructor(judge: (facts: LdapFacts) => string | null, onBind: (success: boolean) => void = () => {}) {
    this.#judge = judge;
    this.#onBind = onBind;
  }

  /** The client's bytes are no longer messages but wrapped buffers. */
  get isLayered(): boolean {
    return this.#isLayered;
  }

  /** The next byte may begin a layer. */
  get mayLayer(): boolean {
    return this.#mayLayer;
  }

  /** The bytes that may go on now, or why nothing more may. After a stop every piece gets the same one, with nothing to pass. */
  push(piece: Buffer): Buffer | LdapStop {
    if (this.#stop) return this.#stop;
    if (piece.length <= this.#left) {
      this.#left -= piece.length;
      return piece;
    }
    const bytes = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    let at = 0;
    for (;;) {
      const step = Math.min(this.#left, bytes.length - at);
      this.#left -= step;
      at += step;
      if (at === bytes.length) break;
      const size = this.#begin(bytes.subarray(at));
      if (size === 0) break;
      if (typeof size !== 'number') {
        this.#held = nothing;
        this.#stop = { ...size, pass: nothing };
        return { ...size, pass: bytes.subarray(0, at) };
      }
      this.#left = size;
    }
    // A copy: the piece it came in is large, and this may stay for long.
    this.#held = at === bytes.length ? nothing : Buffer.from(bytes.subarray(at));
    return bytes.subarray(0, at);
  }

  /** The server has answered a bind. */
  bindAnswered(messageId: number, result: number): void {
    if (messageId === this.#binding) {
      this.#binding = 0;
      this.#onBind(result === ldapResult.success);
    }
    if (messageId !== this.#asking) return;
    this.#asking = 0;
    this.#mayLayer = result === ldapResult.success;
  }

  /** What the server sends cannot be followed any more, so nobody would notice that a layer is none. */
  forbidLayer(): void {
    this.#asking = 0;
    this.#mayLayer = false;
  }

  /** Length of the message or buffer that begins here and may pass; 0 when too little of it is there. */
  #begin(bytes: Buffer): number | Omit<LdapStop, 'pass'> {
    if (this.#mayLayer && bytes[0] === 0) this.#isLayered = true;
    if (this.#isLayered) return layerSize(bytes);
    const sniffed = sniffLdap(bytes);
    if (sniffed.kind === 'more') return 0;
    if (sniffed.kind === 'no') return { why: 'bytes that are no LDAP message', facts: null };
    if (sniffed.kind === 'malformed') return { why: sniffed.why, facts: null };
    const why = sniffed.op === 'start-tls' ? 'StartTLS behind the first message' : this.#judge(sniffed);
    if (why !== null) return { why, facts: sniffed };
    this.#mayLayer = false;
    if (sniffed.op === 'bind') this.#binding = sniffed.messageId;
    this.#asking = sniffed.op === 'bind' && sniffed.sasl !== null && layerMechanisms.has(sniffed.sasl) ? sniffed.messageId : 0;
    return sniffed.pduBytes;
  }
}

/** RFC 4422 §3.7: four bytes of length, then as many. */
function layerSize(bytes: Buffer): number | Omit<LdapStop, 'pass'> {
  if (bytes[0] === 0 && bytes.length < 4) return 0;
  const size = bytes[0] === 0 ? bytes.readUInt32BE(0) : 0;
  if (size < 1 || size > limits.ldapLayerBytesMax) return { why: 'SASL security layer with a buffer that is none', facts: null };
  return 4 + size;
}

/** From server to client. Keeps a copy of at most a message's first bytes, and holds nothing back. */
export class LdapAnswers {
  readonly #client: LdapStream;
  /** The first bytes of a message of which too little is there; they have been sent on. */
  #head = nothing;
  #left = 0;
  /** Not messages any more: a layer, or something that nobody can read. */
  #isLost = false;

  constructor(client: LdapStream) {
    this.#client = client;
  }

  /** A message written to the client now stands between two of the server's. */
  get isBetweenMessages(): boolean {
    return !this.#isLost && this.#left === 0 && this.#head.length === 0;
  }

  /** Null when the piece may go on, else why the connection has to end without it. */
  push(piece: Buffer): string | null {
    if (this.#isLost) return null;
    const bytes = this.#head.length === 0 ? piece : Buffer.concat([this.#head, piece]);
    this.#head = nothing;
    let at = 0;
    for (;;) {
      const step = Math.min(this.#left, bytes.length - at);
      this.#left -= step;
      at += step;
      if (at === bytes.length) return null;
      const rest = bytes.subarray(at);
      if (this.#client.isLayered && rest[0] !== 0) return 'SASL security layer that the upstream does not speak';
      const sniffed = sniffLdapAnswer(rest);
      if (sniffed.kind === 'more') {
        this.#head = Buffer.from(rest);
        return null;
      }
      if (sniffed.kind !== 'answer') {
        this.#isLost = true;
        if (!(this.#client.mayLayer && rest[0] === 0)) this.#client.forbidLayer();
        return null;
      }
      if (sniffed.bind) this.#client.bindAnswered(sniffed.bind.messageId, sniffed.bind.result);
      this.#left = sniffed.pduBytes;
    }
  }
}
