// In which order the routes for a name are looked at: the candidates of the decision itself, made visible.
import type { Protocol } from './config.ts';
import { entriesFor } from './decide-connection.ts';
import { candidates } from './decide.ts';
import type { HostRoutes, Route, RouteTarget, Snapshot } from './snapshot.ts';
import { hostNameOf } from '#wire/http1.ts';

export interface RoutesQuery {
  readonly protocol: Protocol;
  /** Null: routes without a host alone, as for a client that names none. */
  readonly host: string | null;
}

export interface RankedRoute {
  readonly route: Route;
  /** exact: by this very name · wildcard: by a name above it · any: by none. */
  readonly tier: 'exact' | 'wildcard' | 'any';
}

function tierOf({ host }: HostRoutes): RankedRoute['tier'] {
  return host === null ? 'any' : host.startsWith('*.') ? 'wildcard' : 'exact';
}

/** The first that fits what the client asks for wins. `host` as a person types it. */
export function routesInOrder(snapshot: Snapshot, { protocol, host }: RoutesQuery): RankedRoute[] {
  const name = host === null ? null : (hostNameOf(host) ?? null);
  const table = protocol === 'http' ? snapshot : snapshot.byProtocol.get(protocol);
  if (!table) return [];
  const entries = protocol === 'http' && name !== null ? candidates(snapshot, name, false) : entriesFor(table, name);
  return entries.flatMap((entry) => entry.routes.map((route) => ({ route, tier: tierOf(entry) })));
}

const authorityOf = (host: string, port: number) => `${host.includes(':') ? `[${host}]` : host}:${port}`;

/** Where a route leads, in a few words. */
export function describeTarget(target: RouteTarget): string {
  switch (target.kind) {
    case 'tcp':
      return authorityOf(target.host, target.port);
    case 'tls':
      return `${authorityOf(target.host, target.port)}, TLS`;
    case 'named-device':
      return `device "${target.device}", port ${target.port}`;
    case 'devices':
      return 'the device with that label';
    case 'redirect':
      return `${target.status} to ${target.to}`;
    case 'respond':
      return `${target.status}, ${Buffer.byteLength(target.body)} bytes`;
    case 'service':
      return `the gateway's own ${target.name}`;
  }
}
