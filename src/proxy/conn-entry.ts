// What Live tells of an accepted connection.
import type { Socket } from 'node:net';

/** Filled as it becomes known. */
export interface ConnEntry {
  readonly id: string;
  readonly listener: string;
  readonly since: number;
  readonly raw: Socket;
  from: string;
  protocol: string;
  tls: string | null;
  name: string | null;
  route: string | null;
}
