// What Live tells of an accepted connection.
import type { RawStream, Via } from '#net/conn.ts';

/** Filled as it becomes known. */
export interface ConnEntry {
  readonly id: string;
  readonly listener: string;
  readonly since: number;
  readonly raw: RawStream;
  readonly via: Via | null;
  from: string;
  protocol: string;
  tls: string | null;
  name: string | null;
  route: string | null;
}
