// How servers hear of devices' addresses, over the API: configuration for them, and proofs.
import { Fault } from '#base/fault.ts';
import { mustMay, type Acts } from './asked.ts';
import type { TellingDeps } from './deps.ts';
import { deviceFor } from './devices.ts';
import type { Room } from './room.ts';

export function buildTellingActs(room: Room): Acts<'getSnippet' | 'proveRoute'> {
  const telling = (): TellingDeps => {
    if (room.telling === null) throw new Fault('unsupported', 'this gateway serves no applications');
    return room.telling;
  };
  return {
    async getSnippet(asked) {
      mustMay(asked, 'administer', 'gateway', 'see how servers are told of devices');
      const { server, gateway } = asked.query;
      return await telling().snippet(asked.params.route, server, (gateway ?? '').split(',').map((each) => each.trim()).filter((each) => each !== ''));
    },
    async proveRoute(asked) {
      mustMay(asked, 'administer', 'gateway', 'send requests to the servers of routes');
      const device = deviceFor(room, asked, asked.body.deviceId, 'see', 'see this device');
      return await telling().prove(asked.params.route, device, asked.body.path ?? null);
    },
  };
}
