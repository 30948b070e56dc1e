// The front door as it is: listeners, routes in their order, connections of clients and who still needs old TLS.
import type { ConnView, LegacyClientView, RouteView } from '#api/shapes.ts';
import { Fault } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import type { ConfigListener } from '#model/config.ts';
import type { LegacyClientSeen, LiveConn } from '#model/live.ts';
import { describeTarget, type RankedRoute } from '#model/precedence.ts';
import { auditOf, mustMay, type Acts } from './asked.ts';
import { pageOf, sorted } from './pages.ts';
import { defaultCustomer, type Room } from './room.ts';

const versions: Readonly<Record<number, string>> = { 0x0300: 'SSL 3.0', 0x0301: 'TLS 1.0', 0x0302: 'TLS 1.1', 0x0303: 'TLS 1.2', 0x0304: 'TLS 1.3' };

const viewConn = ({ id, from, listener, protocol, tls, name, route, agentId, mac, since, bytesIn, bytesOut }: LiveConn, mine: string): ConnView => ({
  id, from, listener, protocol, tls, name: name === null ? null : printable(name, 253), route, ...(agentId !== undefined && { agentId }), ...(mac !== undefined && { mac }), since, bytesIn, bytesOut, mine: id === mine,
});

const viewLegacyClient = ({ from, serverName, policy, bestVersion, ja4, firstAt, lastAt, count }: LegacyClientSeen): LegacyClientView => ({
  from, serverName, policy, bestVersion: bestVersion === null ? null : (versions[bestVersion] ?? `0x${bestVersion.toString(16)}`), ja4, firstAt, lastAt, count,
});

const viewRoute = ({ route, tier }: RankedRoute): RouteView => ({
  name: route.name, protocol: route.protocol, tier, host: route.host, path: route.path, alias: route.alias, certificate: route.certificate !== null,
  listeners: route.listeners === null ? null : [...route.listeners], classes: route.classes.length, target: describeTarget(route.target), builtIn: route.builtIn,
});

const lastSeen = { keyOf: ({ lastAt, from, serverName, ja4 }: LegacyClientSeen) => `${String(lastAt).padStart(15, '0')} ${from} ${serverName ?? ''} ${ja4}`, newestFirst: true };

type Names = 'listConns' | 'closeConn' | 'listLegacyClients' | 'listListeners' | 'listRoutes';

export function buildFrontDoorActs(room: Room): Acts<Names> {
  const { live, operations, control, clock } = room;
  return {
    listConns(asked) {
      mustMay(asked, 'see', 'gateway', 'see connections');
      const { listener, protocol, search, limit } = asked.query;
      const needle = search?.trim().toLowerCase() ?? '';
      const { conns, matching } = live.findConns(
        (conn) =>
          (listener === undefined || conn.listener === listener) && (protocol === undefined || conn.protocol === protocol) &&
          (needle === '' || conn.id === needle || conn.from.includes(needle) || (conn.name?.toLowerCase().includes(needle) ?? false) || (conn.route?.includes(needle) ?? false)),
        limit,
      );
      return { items: conns.map((conn) => viewConn(conn, asked.conn)), matching, open: live.connCounts().open, now: clock.nowMs() };
    },
    async closeConn(asked) {
      mustMay(asked, 'administer', 'gateway', 'close connections');
      const { id } = asked.params;
      if (id === asked.conn) throw new Fault('conflict', 'this very question came over that connection', { remedy: 'close your program or window instead' });
      const [conn] = live.findConns((each) => each.id === id, 1).conns;
      if (!conn) throw new Fault('not-found', 'there is no such connection, or not any more');
      const { from, listener, protocol, name, route } = conn;
      await operations.addAudit([auditOf(room, asked, 'conn.cut', { customerId: defaultCustomer(room).id, kind: 'conn', id, name: from }, { listener, protocol, name: name === null ? null : printable(name, 253), route })]);
      if (!live.closeConn(id)) throw new Fault('not-found', 'the connection ended by itself just now');
      return {};
    },
    listLegacyClients(asked) {
      mustMay(asked, 'see', 'gateway', 'see who uses old TLS');
      return pageOf(sorted(live.legacyClients(), lastSeen), lastSeen, asked.query, () => true, viewLegacyClient);
    },
    listListeners(asked) {
      mustMay(asked, 'see', 'gateway', 'see listeners');
      const configured = new Map((control.config().config as { listeners: readonly ConfigListener[] }).listeners.map((each) => [each.name, each]));
      return {
        items: live.listeners().flatMap(({ name, bound, why, open, accepted, refused }) => {
          const each = configured.get(name);
          if (!each) return [];
          const { address, port, tls, protocols = ['http'], plain = [], proxyProtocolFrom = [], serverFirst = false } = each as Partial<ConfigListener> & Pick<ConfigListener, 'port' | 'tls'>;
          return [{ name, address: address ?? '::', port, tls, protocols: [...protocols], plain: [...plain], proxyProtocolFrom: [...proxyProtocolFrom], serverFirst, bound, why, open, accepted, refused }];
        }),
      };
    },
    listRoutes(asked) {
      mustMay(asked, 'administer', 'gateway', 'read the configuration');
      const { protocol, host, limit } = asked.query;
      const ranked = room.routesInOrder({ protocol, host: host === undefined || host === '' ? null : host });
      return { items: ranked.slice(0, limit).map(viewRoute), matching: ranked.length };
    },
  };
}
