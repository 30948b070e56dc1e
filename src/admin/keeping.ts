// What is kept, for how long, on which disk; backups.
import type { KeepingView } from '#api/keeping-shapes.ts';
import type { KeepingState } from '#model/keeping.ts';
import { Fault } from '#base/fault.ts';
import { actorOfAsked, mustMay, type Acts, type Anyone, type Asked } from './asked.ts';
import type { KeepingDeps } from './deps.ts';
import { defaultCustomer, type Room } from './room.ts';

type Names = 'getKeeping' | 'runRetention' | 'acknowledgeRestore' | 'getBackup';

function keepingOf({ keeping }: Room): KeepingDeps {
  if (!keeping) throw new Fault('unsupported', 'nothing is backed up or dropped here');
  return keeping;
}

const view = ({ kinds, ...rest }: KeepingState): KeepingView => ({ ...rest, kinds: [...kinds] });

export function buildKeepingActs(room: Room): Acts<Names> {
  const maySee = (asked: Anyone) => mustMay(asked, 'see', 'gateway', 'see what the gateway keeps');
  const mayChange = (asked: Anyone) => mustMay(asked, 'administer', 'gateway', 'change what the gateway keeps');
  return {
    async getKeeping(asked) {
      maySee(asked);
      return view(await keepingOf(room).state());
    },
    async runRetention(asked) {
      mayChange(asked);
      await keepingOf(room).run();
      return view(await keepingOf(room).state());
    },
    async acknowledgeRestore(asked) {
      mayChange(asked);
      await keepingOf(room).acknowledgeRestore(actorOfAsked(asked), defaultCustomer(room).id);
      return {};
    },
    getBackup(asked) {
      maySee(asked);
      return keepingOf(room).backup.state();
    },
  };
}

/** The one act whose answer is no JSON. */
export async function makeBackup(room: Room, asked: Asked<'makeBackup'>): Promise<Response> {
  mustMay(asked, 'administer', 'gateway', 'back it up: a backup holds every secret of it');
  const { name, stream } = await keepingOf(room).backup.make(actorOfAsked(asked), defaultCustomer(room).id, asked.signal);
  return new Response(stream, { headers: { 'content-type': 'application/gzip', 'content-disposition': `attachment; filename="${name}"` } });
}
