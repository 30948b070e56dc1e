// Doctor for sites and devices, over the API. It asks machines at the site: for who administers something there.
import type { MisRouteView, PlaceFindingView } from '#api/doctor-shapes.ts';
import { Fault } from '#base/fault.ts';
import type { MisRoute } from '#model/mis-route.ts';
import type { PlaceFinding } from '#model/place-doctor.ts';
import { mustMay, type Acts } from './asked.ts';
import type { PlaceDoctorDeps } from './deps.ts';
import { deviceFor } from './devices.ts';
import { siteNamed } from './places.ts';
import type { Room } from './room.ts';

const viewSnippets = (snippets: MisRoute['snippets']): MisRouteView['snippets'] => snippets.map(({ lines, ...rest }) => ({ ...rest, lines: [...lines] }));

export const viewMisRoute = ({ snippets, ...rest }: MisRoute): MisRouteView => ({ ...rest, snippets: viewSnippets(snippets) });

const viewFinding = ({ snippets, ...rest }: PlaceFinding): PlaceFindingView => ({ ...rest, snippets: viewSnippets(snippets) });

export function buildSiteDoctorActs(room: Room): Acts<'doctorSite' | 'doctorDevice'> {
  const doctor = (): PlaceDoctorDeps => {
    if (room.placeDoctor === null) throw new Fault('unsupported', 'this gateway serves no applications');
    return room.placeDoctor;
  };
  return {
    async doctorSite(asked) {
      const site = siteNamed(room, asked, asked.params.site);
      mustMay(asked, 'administer', { customerId: site.customerId, siteId: site.id }, "ask the site's agents");
      const findings = await doctor().site(site.id, asked.body.resolvers, asked.signal);
      return { at: room.clock.nowMs(), findings: findings.map(viewFinding) };
    },
    async doctorDevice(asked) {
      const device = deviceFor(room, asked, asked.params.device, 'administer', 'have this device looked at');
      const findings = await doctor().device(device.id, asked.body.resolvers, asked.signal);
      return { at: room.clock.nowMs(), findings: findings.map(viewFinding) };
    },
  };
}
