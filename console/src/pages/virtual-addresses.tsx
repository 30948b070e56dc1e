// Which device has which virtual address, and how its call-backs fare.
import type { VirtualAddressView } from '#api/virtual-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { count } from '../format.ts';
import { itemsOf, meQuery, refresh, virtualAddressesQuery } from '../queries.ts';
import { without } from '../search.ts';
import { text } from '../text.ts';
import { Badge, Card, Dot, Empty, Time, type Mood } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SearchBox, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { useKept } from '../ui/kept.ts';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { ActionMenu, Confirm, Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { useSending } from './form-send.ts';
import { useTypedSearch } from './typed-search.ts';

const route = getRouteApi('/inside/applications/addresses');
const words = text.places.pool;
const moods: Record<VirtualAddressView['state'], Mood> = { open: 'ok', partly: 'warn', closed: 'bad', idle: 'neutral', outside: 'bad' };
const refreshAddresses = () => refresh('address-pool', 'virtual-addresses', 'identity', 'device');

export function VirtualAddressesCard() {
  const { q = '' } = route.useSearch();
  const navigate = useNavigate({ from: '/applications/addresses' });
  const { data: me } = useQuery(meQuery);
  const addresses = useInfiniteQuery(virtualAddressesQuery(q));
  const items = itemsOf(addresses.data) ?? [];
  const [typed, setTyped] = useTypedSearch(q, (next) => void navigate({ search: (before) => (next ? { ...before, q: next } : without(before, 'q')), replace: true }));
  const [choosing, setChoosing] = useState<VirtualAddressView | null>(null);
  const [releasing, setReleasing] = useState<VirtualAddressView | null>(null);
  const asked = useKept(releasing);
  const leave = async ({ deviceId, name }: VirtualAddressView) => {
    try {
      const next = await call('setVirtualAddress', { params: { device: deviceId }, body: { address: null } });
      say(words.chosen(name, next.address));
      await refreshAddresses();
    } catch (thrown) {
      sayProblem(thrown);
    }
  };
  return (
    <Card title={words.addresses} about={words.addressesAbout} flush>
      <div className="border-t border-line">
        {items.length > 0 || q ? (
          <div className="flex border-b border-line p-3 sm:px-5">
            <SearchBox value={typed} onValue={setTyped} label={words.searchLabel} placeholder={words.search} maxLength={128} />
          </div>
        ) : null}
        <Loaded query={addresses} lines={4}>
          {items.length > 0 ? (
            <table className="w-full table-fixed text-sm num">
              <thead>
                <tr className="border-b border-line">
                  <th scope="col" className={headClass}>{words.columns.device}</th>
                  <th scope="col" className={`${headClass} hidden w-44 2xl:table-cell`}>{words.columns.address}</th>
                  <th scope="col" className={`${headClass} hidden w-44 md:table-cell`}>{words.columns.state}</th>
                  <th scope="col" className={`${headClass} w-24 text-right`}>{words.columns.calls}</th>
                  <th scope="col" className={`${headClass} w-14`}><span className="sr-only">{words.choose}</span></th>
                </tr>
              </thead>
              <tbody className="divide-y divide-line">
                {items.map((row) => <Row key={row.deviceId} row={row} mayChange={me?.may.administerAnything ?? false} onChoose={() => setChoosing(row)} onLeave={() => void leave(row)} onRelease={() => setReleasing(row)} />)}
              </tbody>
            </table>
          ) : q ? (
            <Empty icon="search" title={words.nothing} action={<Button onClick={() => void navigate({ search: {}, replace: true })}>{words.clear}</Button>}>{words.nothingAbout}</Empty>
          ) : (
            <Empty icon="devices" title={words.none}>{words.noneAbout}</Empty>
          )}
          <More query={addresses} />
        </Loaded>
      </div>
      <ChooseAddress row={choosing} onClose={() => setChoosing(null)} />
      <Confirm
        open={releasing !== null}
        onClose={() => setReleasing(null)}
        title={words.releaseTitle(asked?.name ?? '', asked?.address ?? '')}
        about={words.releaseAbout}
        action={words.releaseRun}
        run={async () => {
          if (!asked) return;
          await call('releaseVirtualAddress', { params: { device: asked.deviceId } });
          say(words.released(asked.address));
          await refreshAddresses();
        }}
      />
    </Card>
  );
}

function State({ row }: { row: VirtualAddressView }) {
  return (
    <div className="flex items-start gap-2">
      <span className="mt-1 flex"><Dot mood={moods[row.state]} label={words.states[row.state]} live={row.running > 0} /></span>
      <div className="min-w-0">
        <p className={row.state === 'closed' || row.state === 'outside' ? 'text-bad-ink' : ''}>{row.ports.wanted > 0 ? words.portsOpen(row.ports.open, row.ports.wanted) : words.states[row.state]}</p>
        {row.why ? <p className="text-xs break-words text-ink-2 first-letter:uppercase">{row.why}</p> : null}
      </div>
    </div>
  );
}

function Address({ row }: { row: VirtualAddressView }) {
  return (
    <span className="flex flex-wrap items-center gap-x-2 gap-y-1">
      <span className="font-mono [overflow-wrap:anywhere]">{row.address}</span>
      {row.pinned ? <Badge icon="lock"><span title={words.pinnedTitle}>{words.pinned}</span></Badge> : null}
    </span>
  );
}

interface RowProps {
  row: VirtualAddressView;
  mayChange: boolean;
  onChoose: () => void;
  onLeave: () => void;
  onRelease: () => void;
}

function Row({ row, mayChange, onChoose, onLeave, onRelease }: RowProps) {
  return (
    <tr data-address={row.address} className="hover:bg-sunken/60">
      <td className={`${cellClass} align-top`}>
        <Link to="/devices/$device" params={{ device: row.label }} className="rounded-sm font-medium [overflow-wrap:anywhere] hover:text-accent-ink hover:underline">{row.name}</Link>
        <div className="mt-0.5 2xl:hidden"><Address row={row} /></div>
        {row.applications.length > 0 ? <p className="mt-0.5 text-xs break-words text-ink-3">{row.applications.join(', ')}</p> : null}
        <div className="mt-1 md:hidden"><State row={row} /></div>
      </td>
      <td className={`${cellClass} hidden align-top 2xl:table-cell`}><Address row={row} /></td>
      <td className={`${cellClass} hidden align-top md:table-cell`}><State row={row} /></td>
      <td className={`${cellClass} text-right align-top`}>
        <p>{count(row.calls)}</p>
        {row.running > 0 ? <p className="text-xs text-ok-ink">{words.callsNow(row.running)}</p> : null}
        {row.refused > 0 ? <p className="text-xs text-warn-ink">{words.callsRefused(row.refused)}</p> : null}
        {row.lastCallAt === null ? null : <p className="text-xs text-ink-3"><Time at={row.lastCallAt} /></p>}
      </td>
      <td className={`${cellClass} text-right align-top`}>
        {mayChange ? (
          <ActionMenu
            label={words.actions(row.name)}
            entries={[{ label: words.choose, icon: 'edit', run: onChoose }, ...(row.pinned || row.state === 'outside' ? [{ label: words.automatic, icon: 'refresh' as const, run: onLeave }] : []), null, { label: words.release, icon: 'trash', danger: true, run: onRelease }]}
          />
        ) : null}
      </td>
    </tr>
  );
}

function ChooseAddress({ row, onClose }: { row: VirtualAddressView | null; onClose: () => void }) {
  const shown = useKept(row);
  return (
    <Dialog open={row !== null} onClose={onClose} title={words.chooseTitle(shown?.name ?? '')} about={words.chooseAbout}>
      {shown ? <ChooseForm row={shown} onClose={onClose} /> : null}
    </Dialog>
  );
}

function ChooseForm({ row, onClose }: { row: VirtualAddressView; onClose: () => void }) {
  const [address, setAddress] = useState(row.address);
  const sending = useSending(['address']);
  const submit = () =>
    void sending.send(async () => {
      const next = await call('setVirtualAddress', { params: { device: row.deviceId }, body: { address: address.trim() || null } });
      say(words.chosen(row.name, next.address));
      await refreshAddresses();
      onClose();
    });
  return (
    <Form onSubmit={submit}>
      <TextField label={words.address} hint={words.addressHint} value={address} onValue={setAddress} error={sending.at('address', [address.trim()])} maxLength={45} className="font-mono" autoComplete="off" spellCheck={false} />
      <ProblemNote problem={sending.rest} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={sending.busy}>{text.common.save}</Button>
      </div>
    </Form>
  );
}
