// What every reader of first bytes answers when it has no facts: one shape for all protocols. A sniffer never throws, keeps nothing, consumes
// nothing, and may be called again with more bytes. `malformed` never falls through to a weaker rule (docs/wire/first-packet.md).

export type Unsettled =
  /** These bytes cannot become this protocol, whatever follows. */
  | { readonly kind: 'no' }
  /** They may still become it. */
  | { readonly kind: 'more' }
  /** It is this protocol, or claims to be, and nobody may guess what was meant. `why` holds no bytes of the peer. */
  | { readonly kind: 'malformed'; readonly why: string };

export const no: Unsettled = { kind: 'no' };
export const more: Unsettled = { kind: 'more' };
export const malformed = (why: string): Unsettled => ({ kind: 'malformed', why });
