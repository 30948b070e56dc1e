// Doors of a site: where agents take connections for the gateway, whether they can, and what to do when not.
import type { DoorView, SiteDetailView } from '#api/place-shapes.ts';
import { useState } from 'react';
import { call } from '../api.ts';
import { count } from '../format.ts';
import { refreshPlaces } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, CopyBlock, Dot, Empty } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { useKept } from '../ui/kept.ts';
import { cellClass, headClass } from '../ui/list.tsx';
import { ActionMenu, Confirm } from '../ui/overlay.tsx';
import { say } from '../ui/toast.tsx';
import { EditDoor, placeOf } from './door-form.tsx';

const words = text.places.doors;

export function DoorsCard({ site, mayChange }: { site: SiteDetailView; mayChange: boolean }) {
  const [editing, setEditing] = useState<DoorView | 'new' | null>(null);
  const [closing, setClosing] = useState<DoorView | null>(null);
  const asked = useKept(closing);
  const canOpen = mayChange && site.agents.some((agent) => agent.state !== 'revoked');
  const add = canOpen ? <Button size="sm" icon="plus" onClick={() => setEditing('new')}>{words.add}</Button> : null;
  return (
    <Card title={words.title} about={words.about} flush actions={site.doors.length > 0 ? add : null}>
      <div className="border-t border-line">
        {site.doors.length === 0 ? (
          <Empty icon="door" title={words.none} action={canOpen ? <Button tone="primary" icon="plus" onClick={() => setEditing('new')}>{words.add}</Button> : null}>
            {words.noneAbout} {canOpen || !mayChange ? '' : words.noneNoAgent}
          </Empty>
        ) : (
          <table className="w-full table-fixed text-sm num">
            <thead>
              <tr className="border-b border-line">
                <th scope="col" className={headClass}>{words.columns.at}</th>
                <th scope="col" className={`${headClass} hidden w-28 sm:table-cell`}>{words.columns.listener}</th>
                <th scope="col" className={`${headClass} w-24 text-right`}>{words.columns.open}</th>
                <th scope="col" className={`${headClass} hidden w-22 text-right sm:table-cell`}>{words.columns.accepted}</th>
                {mayChange ? <th scope="col" className={`${headClass} w-14`}><span className="sr-only">{words.change}</span></th> : null}
              </tr>
            </thead>
              {site.doors.map((door) => <DoorRow key={door.id} door={door} several={site.agents.length > 1} onChange={mayChange ? () => setEditing(door) : null} onClose={() => setClosing(door)} />)}
          </table>
        )}
      </div>
      <EditDoor door={editing} site={site} onClose={() => setEditing(null)} />
      <Confirm
        open={closing !== null}
        onClose={() => setClosing(null)}
        title={words.closeTitle(asked ? placeOf(asked) : '')}
        about={words.closeAbout}
        action={words.closeRun}
        run={async () => {
          if (!asked) return;
          await call('removeDoor', { params: { id: asked.id } });
          say(words.closed(placeOf(asked)));
          await refreshPlaces();
        }}
      />
    </Card>
  );
}

function DoorRow({ door, several, onChange, onClose }: { door: DoorView; several: boolean; onChange: (() => void) | null; onClose: () => void }) {
  const at = placeOf(door);
  const waits = !door.bound && door.why === null;
  return (
    <tbody data-door={at} className="border-b border-line last:border-b-0 hover:bg-sunken/60">
      <tr>
        <td className={`${cellClass} align-top`}>
          <div className="flex items-start gap-3">
            <span className="mt-1.5 flex"><Dot mood={door.bound ? 'ok' : waits ? 'neutral' : 'bad'} label={door.bound ? words.bound : waits ? words.waits : words.shut} live={door.bound && door.open > 0} /></span>
            <div className="min-w-0">
              <p className="flex flex-wrap items-center gap-x-2 gap-y-1">
                {onChange ? <button type="button" onClick={onChange} className="rounded-sm text-left font-mono [overflow-wrap:anywhere] hover:text-accent-ink hover:underline">{at}</button> : <span className="font-mono [overflow-wrap:anywhere]">{at}</span>}
                <Badge mood={door.bound ? 'ok' : waits ? 'neutral' : 'bad'}>{door.bound ? words.bound : waits ? words.waits : words.shut}</Badge>
              </p>
              {several ? <p className="text-xs break-words text-ink-3">{door.agentName}</p> : null}
              <p className="text-xs text-ink-3 sm:hidden">{words.columns.listener} {door.listener}</p>
            </div>
          </div>
        </td>
        <td className={`${cellClass} hidden align-top break-words sm:table-cell`}>{door.listener}</td>
        <td className={`${cellClass} text-right align-top font-medium`}>{count(door.open)}</td>
        <td className={`${cellClass} hidden text-right align-top text-ink-2 sm:table-cell`} title={words.figures(door.open, door.accepted, door.refused)}>
          {count(door.accepted)}
          {door.refused > 0 ? <p className="text-xs text-warn-ink">{text.places.pool.callsRefused(door.refused)}</p> : null}
        </td>
        {onChange ? (
          <td className={`${cellClass} text-right align-top`}>
            <ActionMenu label={words.actions(at)} entries={[{ label: words.change, icon: 'edit', run: onChange }, null, { label: words.close, icon: 'trash', danger: true, run: onClose }]} />
          </td>
        ) : null}
      </tr>
      {door.why === null ? null : (
        <tr>
          <td colSpan={onChange ? 5 : 4} className="px-4 pb-3 pl-10 sm:px-5 sm:pl-11">
            <p className="text-sm break-words text-bad-ink first-letter:uppercase">{door.why}</p>
            {door.remedy ? <Remedy remedy={door.remedy} /> : null}
          </td>
        </tr>
      )}
    </tbody>
  );
}

/** A line of the agent's policy is there to be taken along. */
function Remedy({ remedy }: { remedy: string }) {
  const line = /\blisten tcp \S+ [\d,-]+$/.exec(remedy)?.[0];
  const said = line ? remedy.slice(0, -line.length).trimEnd() : remedy;
  return (
    <>
      <p className="mt-0.5 text-sm break-words text-ink-2 first-letter:uppercase">{said}</p>
      {line ? <div className="mt-1.5 max-w-md"><CopyBlock value={line} label={words.policyLine} /></div> : null}
    </>
  );
}
