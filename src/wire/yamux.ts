// yamux frames (hashicorp/yamux spec.md): a header of 12 bytes, and for data a body that is handed on as it arrives.
import { Fault } from '#base/fault.ts';

export const FrameType = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const;
export const Flag = { syn: 1, ack: 2, fin: 4, rst: 8 } as const;
export const GoAway = { normal: 0, protocol: 1, internal: 2 } as const;

export const yamuxHeadBytes = 12;

export interface YamuxSink {
  /** `length`: bytes of body for data, the delta for window updates, opaque for pings, the code for go away. */
  onFrame(type: number, flags: number, id: number, length: number): void;
  /** A piece of the body of the data frame announced last, a view of the pushed chunk; never empty. `last` with its end. */
  onBody(bytes: Buffer, last: boolean): void;
}

export interface YamuxParser {
  /** Takes any cut of the byte stream. Fault `protocol` for an unknown version or type; dead after it. */
  push(chunk: Buffer): void;
}

export function buildYamuxParser(sink: YamuxSink): YamuxParser {
  const head = Buffer.alloc(yamuxHeadBytes);
  let headHave = 0;
  let left = 0;

  const readHead = (bytes: Buffer, at: number) => {
    const version = bytes[at]!;
    const type = bytes[at + 1]!;
    if (version !== 0) throw new Fault('protocol', `yamux: version ${version} is unknown`);
    if (type > 3) throw new Fault('protocol', `yamux: frame type ${type} is unknown`);
    const flags = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    const id = ((bytes[at + 4]! << 24) | (bytes[at + 5]! << 16) | (bytes[at + 6]! << 8) | bytes[at + 7]!) >>> 0;
    const length = ((bytes[at + 8]! << 24) | (bytes[at + 9]! << 16) | (bytes[at + 10]! << 8) | bytes[at + 11]!) >>> 0;
    if (type === FrameType.data) left = length;
    sink.onFrame(type, flags, id, length);
  };

  return {
    push(chunk) {
      const end = chunk.length;
      let at = 0;
      while (at < end) {
        if (left > 0) {
          const stop = end - at > left ? at + left : end;
          left -= stop - at;
          sink.onBody(at === 0 && stop === end ? chunk : chunk.subarray(at, stop), left === 0);
          at = stop;
        } else if (headHave === 0 && end - at >= yamuxHeadBytes) {
          readHead(chunk, at);
          at += yamuxHeadBytes;
        } else {
          head[headHave++] = chunk[at++]!;
          if (headHave === yamuxHeadBytes) {
            headHave = 0;
            readHead(head, 0);
          }
        }
      }
    },
  };
}

export function writeYamuxHead(into: Buffer, at: number, type: number, flags: number, id: number, length: number): void {
  into[at] = 0;
  into[at + 1] = type;
  into[at + 2] = flags >>> 8;
  into[at + 3] = flags;
  into[at + 4] = id >>> 24;
  into[at + 5] = id >>> 16;
  into[at + 6] = id >>> 8;
  into[at + 7] = id;
  into[at + 8] = length >>> 24;
  into[at + 9] = length >>> 16;
  into[at + 10] = length >>> 8;
  into[at + 11] = length;
}
