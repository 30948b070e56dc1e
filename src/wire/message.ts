// Messages of a service's stream (docs/wire/tunnel.md §6): a 4-byte length, then that much JSON, always an object.
import { Fault } from '#base/fault.ts';

export type Message = Readonly<Record<string, unknown>>;

export interface MessageParser {
  /** Takes any cut of the byte stream. Fault `protocol`; dead after it. */
  push(chunk: Buffer): void;
}

export const messageHeadBytes = 4;

export function buildMessageParser(messageBytesMax: number, onMessage: (message: Message) => void): MessageParser {
  const head = Buffer.alloc(messageHeadBytes);
  let headHave = 0;
  let body: Buffer | undefined;
  let bodyHave = 0;
  return {
    push(chunk) {
      let at = 0;
      while (at < chunk.length) {
        if (body === undefined) {
          head[headHave++] = chunk[at++]!;
          if (headHave < messageHeadBytes) continue;
          headHave = 0;
          body = Buffer.allocUnsafe(parseMessageHead(head, messageBytesMax));
          bodyHave = 0;
          continue;
        }
        const copied = chunk.copy(body, bodyHave, at);
        at += copied;
        bodyHave += copied;
        if (bodyHave < body.length) continue;
        const text = body.toString('utf8');
        body = undefined;
        onMessage(parseMessage(text));
      }
    },
  };
}

/** The length of the message behind the head. Fault `protocol`. */
export function parseMessageHead(head: Buffer, messageBytesMax: number): number {
  const length = head.readUInt32BE(0);
  if (length === 0 || length > messageBytesMax) throw new Fault('protocol', `a message of ${length} bytes; 1 to ${messageBytesMax} are allowed`);
  return length;
}

/** Fault `protocol`: not a JSON object. */
export function parseMessage(text: string): Message {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Fault('protocol', 'a message is not JSON', { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Fault('protocol', 'a message is not a JSON object');
  return value as Message;
}

export function encodeMessage(message: Message, messageBytesMax: number): Buffer {
  const text = Buffer.from(JSON.stringify(message));
  if (text.length > messageBytesMax) throw new Fault('too-large', `a message of ${text.length} bytes is longer than ${messageBytesMax}`);
  const bytes = Buffer.allocUnsafe(messageHeadBytes + text.length);
  bytes.writeUInt32BE(text.length, 0);
  text.copy(bytes, messageHeadBytes);
  return bytes;
}
