// Keys of session tickets: kept over a restart, so that thousands of agents that come back resume instead of making full handshakes.
import type { Random } from '#base/ids.ts';
import type { SecretFiles } from '#base/secret-files.ts';

export interface TicketKeys {
  readonly bytes: Buffer;
  readonly madeAt: number;
}

export const ticketKeysMs = 24 * 3_600_000;
const ticketKeyBytes = 48;

export async function makeTicketKeys(files: SecretFiles, now: number, random: Random): Promise<TicketKeys> {
  const keys = { bytes: random(ticketKeyBytes), madeAt: now };
  await files.write('ticket-keys.json', Buffer.from(`${JSON.stringify({ madeAt: now, keys: keys.bytes.toString('base64') })}\n`));
  return keys;
}

export async function readOrMakeTicketKeys(files: SecretFiles, now: number, random: Random): Promise<TicketKeys> {
  const text = await files.read('ticket-keys.json');
  try {
    const kept: { madeAt?: unknown; keys?: unknown } = JSON.parse(text?.toString() ?? '{}');
    const bytes = Buffer.from(String(kept.keys ?? ''), 'base64');
    if (typeof kept.madeAt === 'number' && bytes.length === ticketKeyBytes && now >= kept.madeAt && now - kept.madeAt < ticketKeysMs) return { bytes, madeAt: kept.madeAt };
  } catch {
    // Damaged: tickets given out before are worth nothing, which costs one full handshake each.
  }
  return makeTicketKeys(files, now, random);
}
