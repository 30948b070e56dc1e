// Ports that the gateway accepts on: what they take, how they fare, and the way to change them.
import type { ListenerView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { authority, editOf, type Listener } from '../config-document.ts';
import { count } from '../format.ts';
import { configQuery, listenersQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, Dot, PageHead } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { cellClass, headClass, Loaded } from '../ui/list.tsx';
import { useKept } from '../ui/kept.ts';
import { ActionMenu } from '../ui/overlay.tsx';
import { RemoveDialog } from './config-editor.tsx';
import { EditListener } from './listener-form.tsx';

const words = text.frontDoor.listeners;
const short: Readonly<Record<string, string>> = text.frontDoor.short;

export function ListenersPage() {
  const listeners = useQuery(listenersQuery);
  const document = useQuery(configQuery);
  const [editing, setEditing] = useState<Listener | 'new' | null>(null);
  const [removing, setRemoving] = useState<Listener | null>(null);
  const leaving = useKept(removing);
  const configured = (name: string) => document.data?.config.listeners.find((each) => each.name === name) ?? null;
  return (
    <>
      <PageHead title={text.frontDoor.tabs.listeners} about={words.about} actions={<Button tone="primary" icon="plus" disabled={!document.data} onClick={() => setEditing('new')}>{words.add}</Button>} />
      <Card flush>
        <Loaded query={listeners} lines={3}>
          <table className="w-full table-fixed text-sm num sm:table-auto">
            <thead>
              <tr className="border-b border-line">
                <th scope="col" className={headClass}>{words.columns.name}</th>
                <th scope="col" className={`${headClass} hidden md:table-cell`}>{words.columns.takes}</th>
                <th scope="col" className={`${headClass} w-16 text-right sm:w-auto`}>{words.columns.conns}</th>
                <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{words.columns.accepted}</th>
                <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{words.columns.refused}</th>
                <th scope="col" className={`${headClass} w-16 sm:w-auto`}><span className="sr-only">{text.frontDoor.edit}</span></th>
              </tr>
            </thead>
            <tbody className="divide-y divide-line">
              {listeners.data?.items.map((row) => <Row key={row.name} row={row} canEdit={configured(row.name) !== null} onEdit={() => setEditing(configured(row.name))} onRemove={() => setRemoving(configured(row.name))} />)}
            </tbody>
          </table>
        </Loaded>
      </Card>
      <EditListener listener={editing} onClose={() => setEditing(null)} />
      <RemoveDialog open={removing !== null} edit={leaving && editOf('listeners', leaving, null)} title={words.removeTitle(leaving?.name ?? '')} about={words.removeAbout} onClose={() => setRemoving(null)} />
    </>
  );
}

function Takes({ row }: { row: ListenerView }) {
  return (
    <span className="flex flex-wrap gap-1.5">
      <Badge mood={row.tls ? 'accent' : 'neutral'} {...(row.tls ? { icon: 'lock' as const } : {})}>{row.tls ? words.tls : words.plain}</Badge>
      {row.serverFirst ? <Badge>{words.serverFirst}</Badge> : row.protocols.map((each) => <Badge key={each}>{each === 'tls' ? words.through : (short[each] ?? each)}</Badge>)}
      {row.plain.length > 0 ? <Badge mood="warn">{words.withoutTls(row.plain.map((each) => short[each] ?? each).join(', '))}</Badge> : null}
      {row.proxyProtocolFrom.length > 0 ? <Badge>{words.proxyFrom(row.proxyProtocolFrom.length)}</Badge> : null}
    </span>
  );
}

function Row({ row, canEdit, onEdit, onRemove }: { row: ListenerView; canEdit: boolean; onEdit: () => void; onRemove: () => void }) {
  return (
    <tr className="hover:bg-sunken/60" data-listener={row.name}>
      <td className={`${cellClass} align-top`}>
        <div className="flex items-start gap-3">
          <span className="mt-1.5 flex"><Dot mood={row.bound ? 'ok' : 'bad'} label={row.bound ? words.open : words.notOpen} /></span>
          <div className="min-w-0">
            <button type="button" disabled={!canEdit} onClick={onEdit} className="rounded-sm text-left font-medium break-words hover:text-accent-ink hover:underline">{row.name}</button>
            <div className="font-mono text-xs break-words text-ink-3">
              {authority(row.bound?.address ?? row.address, row.bound?.port ?? row.port)}
              {row.port === 0 ? ` (${words.chosen})` : ''}
            </div>
            {row.why === null ? null : <p className="mt-1 text-xs break-words text-bad-ink">{row.why}</p>}
            <div className="mt-1.5 md:hidden"><Takes row={row} /></div>
          </div>
        </div>
      </td>
      <td className={`${cellClass} hidden align-top md:table-cell`}><Takes row={row} /></td>
      <td className={`${cellClass} text-right align-top`}>
        <Link to="/front-door/connections" search={{ listener: row.name }} aria-label={words.showConns(row.name)} className="rounded-sm font-medium text-accent-ink hover:underline">{count(row.open)}</Link>
      </td>
      <td className={`${cellClass} hidden text-right align-top sm:table-cell`}>{count(row.accepted)}</td>
      <td className={`${cellClass} hidden text-right align-top sm:table-cell`}>{row.refused > 0 ? <span className="text-warn-ink">{count(row.refused)}</span> : <span className="text-ink-3">0</span>}</td>
      <td className={`${cellClass} w-px text-right align-top`}>
        {canEdit ? <ActionMenu label={text.frontDoor.actions(row.name)} entries={[{ label: text.frontDoor.edit, icon: 'edit', run: onEdit }, null, { label: text.frontDoor.removeMenu, icon: 'trash', danger: true, run: onRemove }]} /> : null}
      </td>
    </tr>
  );
}
