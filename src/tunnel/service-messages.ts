// A service's stream read message by message, with the raw bytes that some messages announce (docs/wire/tunnel.md §6).
import type { Duplex } from 'node:stream';
import type { Limits } from '#base/limits.ts';
import { encodeMessage, messageHeadBytes, parseMessage, parseMessageHead } from '#wire/message.ts';
import type { Message } from '#wire/message.ts';
import { readExactly } from './open.ts';

/** In pieces: a stream asked for much at once keeps room for it ever after. */
const pieceBytesMax = 16 * 1024;

/** The next message; null when the other end sends no more. Faults `protocol`, `closed`. */
export async function readMessage(stream: Duplex, limits: Pick<Limits, 'messageBytesMax'>): Promise<Message | null> {
  // The end may come before a message, but not within one.
  const first = await firstByte(stream);
  if (first === null) return null;
  const head = Buffer.concat([first, await readExactly(stream, messageHeadBytes - 1)]);
  return parseMessage((await readRaw(stream, parseMessageHead(head, limits.messageBytesMax))).toString('utf8'));
}

/** So many bytes. Fault `closed` when the stream ends before. */
export async function readRaw(stream: Duplex, bytes: number): Promise<Buffer> {
  const whole = Buffer.alloc(bytes);
  for (let have = 0; have < bytes; ) {
    const piece = await readExactly(stream, Math.min(pieceBytesMax, bytes - have));
    piece.copy(whole, have);
    // A key may have been in it.
    piece.fill(0);
    have += piece.length;
  }
  return whole;
}

export function writeMessage(stream: Duplex, message: Message, limits: Pick<Limits, 'messageBytesMax'>): void {
  if (stream.writable) stream.write(encodeMessage(message, limits.messageBytesMax));
}

async function firstByte(stream: Duplex): Promise<Buffer | null> {
  try {
    return await readExactly(stream, 1);
  } catch (thrown) {
    if (stream.readableEnded) return null;
    throw thrown;
  }
}
