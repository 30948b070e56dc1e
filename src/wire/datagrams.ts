// Datagrams on a `udp` stream (docs/wire/tunnel.md §5, Datagrams): a 2-byte length before each, and a last record that says why.
import { Fault } from '#base/fault.ts';
import { encodePrefaceAnswer, parseAnswerHeadOfStream, prefaceHeadBytes } from './preface.ts';
import type { PrefaceAnswer } from './preface.ts';

/** The most that UDP carries over IPv4: 65,535 less the heads of IP and UDP. */
export const datagramBytesMax = 65_507;
export const datagramHeadBytes = 2;
const endMark = 0xffff;

/** Writes one record and says where it ends. The datagram is at most `datagramBytesMax` long, and `into` has room. */
export function writeDatagram(into: Buffer, at: number, datagram: Buffer): number {
  if (datagram.length > datagramBytesMax) throw new Fault('too-large', `a datagram of ${datagram.length} bytes is longer than ${datagramBytesMax}`);
  into.writeUInt16BE(datagram.length, at);
  datagram.copy(into, at + datagramHeadBytes);
  return at + datagramHeadBytes + datagram.length;
}

/** The last record of a flow. */
export function encodeFlowEnd(answer: PrefaceAnswer): Buffer {
  const text = encodePrefaceAnswer(answer);
  const bytes = Buffer.allocUnsafe(datagramHeadBytes + text.length);
  bytes.writeUInt16BE(endMark, 0);
  text.copy(bytes, datagramHeadBytes);
  return bytes;
}

export interface DatagramSink {
  /** A view of what was pushed where the datagram came in one piece: good for the call. */
  onDatagram(datagram: Buffer): void;
  /** The last record. */
  onEnd(answer: PrefaceAnswer): void;
}

export interface DatagramParser {
  /** Takes any cut of the byte stream. Fault `protocol`; dead after it. */
  push(chunk: Buffer): void;
  /** Nothing of a record has come that is not whole: the stream may end here. */
  readonly isBetween: boolean;
  /** Kept for a record that is not whole. */
  readonly heldBytes: number;
}

export function buildDatagramParser(sink: DatagramSink): DatagramParser {
  let step: 'head' | 'datagram' | 'end-head' | 'end-text' | 'over' = 'head';
  let need = datagramHeadBytes;
  /** What has come of the part that is not whole; room for all of it. */
  let part: Buffer | undefined;
  let have = 0;
  let endCode = 0;

  /** With the bytes of the part that is whole now: the next one, until one has bytes to wait for. */
  const whole = (bytes: Buffer) => {
    switch (step) {
      case 'head': {
        const length = bytes.readUInt16BE(0);
        if (length === endMark) [step, need] = ['end-head', prefaceHeadBytes];
        else if (length > datagramBytesMax) throw new Fault('protocol', `a datagram of ${length} bytes; UDP carries ${datagramBytesMax}`);
        else if (length === 0) sink.onDatagram(Buffer.alloc(0));
        else [step, need] = ['datagram', length];
        break;
      }
      case 'datagram':
        [step, need] = ['head', datagramHeadBytes];
        sink.onDatagram(bytes);
        break;
      case 'end-head': {
        const textBytes = parseAnswerHeadOfStream(bytes);
        endCode = bytes[1]!;
        [step, need] = ['end-text', textBytes];
        if (textBytes === 0) whole(Buffer.alloc(0));
        break;
      }
      default:
        [step, need] = ['over', 0];
        sink.onEnd({ code: endCode, text: bytes.toString('utf8') });
    }
  };

  return {
    get isBetween() {
      return step === 'over' || (step === 'head' && have === 0);
    },
    get heldBytes() {
      return part === undefined ? 0 : part.length;
    },
    push(chunk) {
      let at = 0;
      while (at < chunk.length) {
        if (step === 'over') throw new Fault('protocol', 'bytes after the end of a flow');
        if (part === undefined && chunk.length - at >= need) {
          const from = at;
          at += need;
          whole(chunk.subarray(from, at));
          continue;
        }
        part ??= Buffer.allocUnsafe(need);
        const copied = chunk.copy(part, have, at, at + need - have);
        at += copied;
        have += copied;
        if (have < need) continue;
        const bytes = part;
        part = undefined;
        have = 0;
        whole(bytes);
      }
    },
  };
}
