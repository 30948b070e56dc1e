// Ids are UUIDv7 text (RFC 9562 §5.7), made anywhere, sorted by time.

/** `bytes` unpredictable bytes. */
export type Random = (bytes: number) => Buffer;

export type Id = string;

/** Makes ids; within one millisecond and process they still grow (RFC 9562 §6.2, method 1: a counter in rand_a). */
export function buildIds(nowMs: () => number, random: Random): () => Id {
  let lastMs = 0;
  let counter = 0;
  return () => {
    const now = nowMs();
    if (now > lastMs) {
      lastMs = now;
      counter = random(2).readUInt16BE(0) & 0x07ff;
    } else if (++counter > 0x0fff) {
      lastMs += 1;
      counter = 0;
    }
    const bytes = Buffer.allocUnsafe(16);
    bytes.writeUIntBE(lastMs, 0, 6);
    bytes.writeUInt16BE(0x7000 | counter, 6);
    random(8).copy(bytes, 8);
    bytes[8] = (bytes[8]! & 0x3f) | 0x80;
    const hex = bytes.toString('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  };
}

export function isId(text: string): boolean {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(text);
}
