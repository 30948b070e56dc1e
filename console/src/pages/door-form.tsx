// A door, filled in: at which agent, at which of its machine's addresses, behind which listener.
import type { DoorView, SiteDetailView } from '#api/place-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { authority, numberOf } from '../config-document.ts';
import { listenersQuery, meQuery, refreshPlaces, siteLanQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Button } from '../ui/button.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { useKept } from '../ui/kept.ts';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { useSending } from './form-send.ts';
import { isLinkLocal, Seen } from './site-form.tsx';

const words = text.places.doors.form;
export const placeOf = ({ address, port }: Pick<DoorView, 'address' | 'port'>): string => authority(address, port);

export function EditDoor({ door, site, onClose }: { door: DoorView | 'new' | null; site: SiteDetailView; onClose: () => void }) {
  const shown = useKept(door);
  const before = shown === 'new' ? null : shown;
  return (
    <Dialog open={door !== null} onClose={onClose} sticky title={before ? words.changeTitle(placeOf(before)) : words.addTitle} about={before ? words.changeAbout : words.addAbout}>
      {shown === null ? null : <DoorForm before={before} site={site} onClose={onClose} />}
    </Dialog>
  );
}

function DoorForm({ before, site, onClose }: { before: DoorView | null; site: SiteDetailView; onClose: () => void }) {
  const { data: me } = useQuery(meQuery);
  const seesListeners = me?.may.administerGateway ?? false;
  const listeners = useQuery({ ...listenersQuery, enabled: seesListeners });
  const agents = site.agents.filter((agent) => agent.state !== 'revoked');
  const [agentId, setAgentId] = useState(before?.agentId ?? (agents.find((agent) => agent.online) ?? agents[0])?.id ?? '');
  const [address, setAddress] = useState(before?.address ?? '');
  const [port, setPort] = useState(before ? String(before.port) : '443');
  const [listener, setListener] = useState(before?.listener ?? '');
  const [tried, setTried] = useState(false);
  const sending = useSending(['agentId', 'address', 'port', 'listener']);
  const isLinked = agents.some((agent) => agent.id === agentId && agent.online);
  const lan = useQuery({ ...siteLanQuery(site.id), enabled: isLinked });
  const addresses = (lan.data?.find((each) => each.agentId === agentId)?.addresses ?? []).filter((each) => each !== address && !isLinkLocal(each));
  // `https` takes what most devices speak, and is there on a fresh gateway.
  const names = listeners.data?.items.map((each) => each.name) ?? [];
  const usual = names.includes('https') ? 'https' : (names[0] ?? '');
  const chosen = listener || usual;
  const isPort = numberOf(port) >= 1 && numberOf(port) <= 65_535;
  const submit = () => {
    setTried(true);
    if (!address.trim() || !isPort || !chosen) return;
    const body = { address: address.trim(), port: numberOf(port), listener: chosen };
    void sending.send(async () => {
      const done = before ? await call('changeDoor', { params: { id: before.id }, body }) : await call('addDoor', { body: { agentId, ...body } });
      say(before ? words.changed : words.added(placeOf(done)));
      await refreshPlaces();
      onClose();
    });
  };
  const mono = { className: 'font-mono', autoComplete: 'off', autoCapitalize: 'none', spellCheck: false } as const;
  return (
    <Form onSubmit={submit}>
      {before || agents.length === 1 ? null : <SelectField label={words.agent} value={agentId} onValue={setAgentId} options={agents.map((agent) => [agent.id, agent.online ? agent.name : `${agent.name} (${text.places.site.unlinked})`] as const)} />}
      <div className="flex flex-col gap-2">
        <div className="grid grid-cols-[1fr_6.5rem] gap-4">
          <TextField {...mono} label={words.address} hint={isLinked && lan.isPending ? words.asking : words.addressHint} value={address} onValue={setAddress} error={tried && !address.trim() ? words.addressWrong : sending.at('address')} maxLength={45} placeholder="192.168.1.20" />
          <TextField label={words.port} value={port} onValue={(value) => setPort(value.replace(/\D/g, '').slice(0, 5))} error={tried && !isPort ? words.portWrong : sending.at('port')} inputMode="numeric" autoComplete="off" className="num" />
        </div>
        <Seen list={addresses} onTake={setAddress} />
      </div>
      {names.length > 0 ? (
        <SelectField label={words.listener} hint={sending.at('listener') ? <span role="alert" className="text-bad-ink">{sending.at('listener')}</span> : words.listenerHint} value={chosen} onValue={setListener} options={[...new Set([...names, ...(before ? [before.listener] : [])])].map((each) => [each, each] as const)} />
      ) : (
        <TextField {...mono} label={words.listener} hint={words.listenerHint} value={listener} onValue={(value) => setListener(value.toLowerCase())} error={tried && !chosen ? words.listenerWrong : sending.at('listener')} maxLength={64} placeholder="https" />
      )}
      <ProblemNote problem={sending.rest} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={sending.busy}>{before ? text.common.save : words.open}</Button>
      </div>
    </Form>
  );
}
