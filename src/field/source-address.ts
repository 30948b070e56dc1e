// `HOST:PORT` as people write it, with brackets around IPv6.
import { parseAddress } from '#base/cidr.ts';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

const name = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/;

/** Null when it is not one. Port 0 (the system chooses) is for listening. */
export function parseListenAddress(text: string): ListenAddress | null {
  const [, six, other, digits = ''] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = six ?? other;
  const port = Number(digits);
  if (host === undefined || digits === '' || port > 65_535) return null;
  const isGood = six === undefined ? parseAddress(host) !== null || (name.test(host) && !/^[\d.]+$/.test(host)) : parseAddress(six)?.family === 6;
  return isGood ? { host, port } : null;
}

/** As it is read again. */
export function addressText({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
