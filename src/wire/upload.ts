// The fields of resumable uploads (draft-ietf-httpbis-resumable-upload-12): structured fields of RFC 9651, items with one value each.

/** Of the draft; its 104 answers go only to clients that name the same one. */
export const uploadInteropVersion = 8;
export const partialUploadType = 'application/partial-upload';
export const problemTypes = {
  offset: 'https://iana.org/assignments/http-problem-types#mismatching-upload-offset',
  complete: 'https://iana.org/assignments/http-problem-types#completed-upload',
  length: 'https://iana.org/assignments/http-problem-types#inconsistent-upload-length',
} as const;

/** An item's bare value; its parameters mean nothing here. Spaces around it are allowed (RFC 9651 §4.2). */
const bareOf = (text: string): string | null => /^ *([^; ]+)(?:; *[a-z*][a-z0-9_.*-]*(?:=[!-:<-~]+)?)* *$/.exec(text)?.[1] ?? null;

/** `?1`, `?0`; null for everything else: the field is then to be ignored (§4.1.2 of the draft). */
export function parseUploadBoolean(text: string | null): boolean | null {
  const bare = text === null ? null : bareOf(text);
  return bare === '?1' ? true : bare === '?0' ? false : null;
}

/** A non-negative integer of at most 15 digits (RFC 9651 §3.3.1); null for everything else. */
export function parseUploadInteger(text: string | null): number | null {
  const bare = text === null ? null : bareOf(text);
  return bare !== null && /^-?\d{1,15}$/.test(bare) && Number(bare) >= 0 ? Number(bare) || 0 : null;
}

export const encodeUploadBoolean = (value: boolean): string => (value ? '?1' : '?0');

export interface UploadLimit {
  readonly maxSize: number;
  /** Seconds that it stays; absent before there is one. */
  readonly maxAge?: number;
}

export const encodeUploadLimit = ({ maxSize, maxAge }: UploadLimit): string => `max-size=${maxSize}${maxAge === undefined ? '' : `, max-age=${Math.max(0, Math.floor(maxAge))}`}`;

/** The sha-256 of a digest field of RFC 9530 (`Content-Digest`, `Repr-Digest`), from its bytes in hex. */
export const encodeDigest = (hex: string): string => `sha-256=:${Buffer.from(hex, 'hex').toString('base64')}:`;
