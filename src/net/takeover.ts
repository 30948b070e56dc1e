// A connection that a service of ours takes over whole: our parser has read the request head, the service writes the
// answer (101 or a refusal) and owns the socket from then on. No pair, no relay (DESIGN: takeover services).
import type { X509Certificate } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { RequestHead } from '#wire/http1.ts';

export interface TakenOver {
  /** Paused, without listeners of ours. */
  readonly socket: Duplex;
  /** Bytes that arrived behind the head. */
  readonly leftover: Buffer;
  readonly head: RequestHead;
  /** The client's address. */
  readonly from: string;
  readonly secure: boolean;
  /** What the client showed in the TLS handshake and proved to have the key of; null without. Not judged yet. */
  readonly peerCertificate: X509Certificate | null;
  /** For log lines. */
  readonly connId: string;
}

export type Takeover = (taken: TakenOver) => void;
