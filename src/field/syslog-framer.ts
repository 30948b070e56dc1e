// Syslog over TCP (RFC 6587): octet counting (§3.4.1) or a trailer (§3.4.2), told apart by a connection's first byte, because a message
// begins with `<` and a count with a digit from 1 to 9. Messages are kept as they came, but for blanks of transport at their ends.
import { Fault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { openFramer } from './framer.ts';

export interface SyslogFramer {
  /** Fault `protocol`: a count that is none; nothing behind it can be understood. */
  push(bytes: Uint8Array): void;
  /** The connection's end; gives whether a counted message was cut short. */
  end(): boolean;
}

/** RFC 5425 §4.3.1 lets a receiver stop somewhere; no sender comes near. Above 64 KiB a message is cut into records. */
const countMax = 16 * 1024 * 1024;

/** LF, CR and NUL at the end belong to the transport: many senders count one in. */
export function trimmed(message: Buffer): Buffer {
  let end = message.length;
  while (end > 0 && (message[end - 1] === 10 || message[end - 1] === 13 || message[end - 1] === 0)) end -= 1;
  return message.subarray(0, end);
}

export function openSyslogFramer(onRecord: (record: Buffer) => void, recordMax: number = limits.feedRecordBytesMax): SyslogFramer {
  const give = (message: Buffer) => {
    const record = trimmed(message);
    if (record.length > 0) onRecord(record);
  };
  const lines = openFramer({ kind: 'lines', end: 'lf', keepEmpty: false }, give, { at: 0, state: '' }, recordMax);
  let way: 'unknown' | 'counted' | 'lines' = 'unknown';
  let digits = '';
  /** Bytes of the message that are still to come; 0: its count is. */
  let missing = 0;
  let held: Buffer[] = [];
  let heldBytes = 0;

  const giveHeld = () => {
    give(held.length === 1 ? Buffer.from(held[0]!) : Buffer.concat(held));
    held = [];
    heldBytes = 0;
  };
  const count = (byte: number) => {
    const isDigit = byte >= 0x30 && byte <= 0x39;
    if (isDigit && !(digits === '' && byte === 0x30)) {
      digits += String.fromCharCode(byte);
      if (Number(digits) > countMax) throw new Fault('protocol', `a syslog message is announced with more than ${countMax} bytes`);
    } else if (byte === 0x20 && digits !== '') {
      missing = Number(digits);
      digits = '';
    } else throw new Fault('protocol', 'a syslog sender that counts octets (RFC 6587 §3.4.1) sent something else where a count stands');
  };
  const pushCounted = (bytes: Uint8Array) => {
    for (let at = 0; at < bytes.length; ) {
      if (missing === 0) {
        count(bytes[at++]!);
        continue;
      }
      const to = Math.min(bytes.length, at + missing, at + recordMax - heldBytes);
      held.push(Buffer.from(bytes.subarray(at, to)));
      heldBytes += to - at;
      missing -= to - at;
      at = to;
      if (missing === 0 || heldBytes === recordMax) giveHeld();
    }
  };
  return {
    push(bytes) {
      if (bytes.length === 0) return;
      if (way === 'unknown') way = bytes[0]! >= 0x31 && bytes[0]! <= 0x39 ? 'counted' : 'lines';
      if (way === 'lines') lines.push(bytes);
      else pushCounted(bytes);
    },
    end() {
      lines.cut();
      const isShort = missing > 0 || digits !== '';
      if (heldBytes > 0) giveHeld();
      missing = 0;
      digits = '';
      return isShort;
    },
  };
}
