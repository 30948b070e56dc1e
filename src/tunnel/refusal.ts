// A handshake that is refused: one HTTP answer with a problem document (RFC 9457), then the connection ends.
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import type { Fault, FaultCode } from '#base/fault.ts';

const statuses: Partial<Record<FaultCode, readonly [number, string]>> = {
  'bad-input': [400, 'Bad Request'],
  protocol: [400, 'Bad Request'],
  unauthenticated: [401, 'Unauthorized'],
  forbidden: [403, 'Forbidden'],
  conflict: [409, 'Conflict'],
  unsupported: [426, 'Upgrade Required'],
  'too-many': [429, 'Too Many Requests'],
  busy: [503, 'Service Unavailable'],
};

export type ExtraFields = readonly (readonly [name: string, value: string])[];

/** The whole answer. `unsupported` is 426 here, because it is about the version of the handshake. */
export function encodeRefusal(fault: Fault, extra: ExtraFields = []): Buffer {
  const [status, reason] = statuses[fault.code] ?? [500, 'Internal Server Error'];
  const body = Buffer.from(JSON.stringify({ type: 'about:blank', title: reason, status, code: fault.code, detail: fault.message, ...(fault.remedy === undefined ? {} : { remedy: fault.remedy }) }));
  let head = `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/problem+json\r\nContent-Length: ${body.length}\r\nConnection: close\r\nCache-Control: no-store\r\n`;
  if (status === 401) head += 'WWW-Authenticate: Bearer\r\n';
  if (status === 426) head += 'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n';
  for (const [name, value] of extra) head += `${name}: ${value}\r\n`;
  return Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), body]);
}

const lingerMs = 2_000;

export function refuseHandshake(socket: Duplex, clock: Clock, fault: Fault, extra: ExtraFields = []): void {
  socket.on('error', () => {});
  socket.on('data', () => {}); // read what is under way, so that the answer is not lost to a reset
  socket.end(encodeRefusal(fault, extra));
  const timer = clock.after(lingerMs, () => socket.destroy());
  socket.once('close', () => timer.cancel());
  socket.once('end', () => socket.destroy());
  socket.resume();
}
