// An agent, or a device without one, to another site of its customer.
import type { SiteDetailView } from '#api/place-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { refreshPlaces, sitesQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Button } from '../ui/button.tsx';
import { SelectField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { useKept } from '../ui/kept.ts';
import { Loaded } from '../ui/list.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { useSending } from './form-send.ts';

export interface Moved {
  readonly kind: 'agent' | 'device';
  readonly id: string;
  readonly name: string;
}

const words = text.places.site;

export function MoveToSite({ moved, site, onClose }: { moved: Moved | null; site: SiteDetailView; onClose: () => void }) {
  const shown = useKept(moved);
  return (
    <Dialog open={moved !== null} onClose={onClose} title={words.moveTitle(shown?.name ?? '')} about={shown?.kind === 'agent' ? words.moveAgentAbout : words.moveDeviceAbout}>
      {shown ? <MoveForm moved={shown} site={site} onClose={onClose} /> : null}
    </Dialog>
  );
}

function MoveForm({ moved, site, onClose }: { moved: Moved; site: SiteDetailView; onClose: () => void }) {
  const sites = useQuery(sitesQuery);
  const others = (sites.data?.items ?? []).filter((each) => each.customerId === site.customerId && each.id !== site.id && each.place !== null);
  const [chosen, setChosen] = useState('');
  const siteId = chosen || others[0]?.id;
  const sending = useSending([]);
  const submit = () => {
    if (!siteId) return;
    void sending.send(async () => {
      if (moved.kind === 'agent') await call('moveAgent', { params: { id: moved.id }, body: { siteId } });
      else await call('moveDevice', { params: { device: moved.id }, body: { siteId } });
      say(words.moved(moved.name, others.find((each) => each.id === siteId)?.name ?? ''));
      await refreshPlaces();
      onClose();
    });
  };
  return (
    <Loaded query={sites} lines={1}>
      <Form onSubmit={submit}>
        {others.length === 0 ? <p className="text-sm text-ink-2">{words.moveNowhere}</p> : <SelectField label={words.moveTo} value={siteId ?? ''} onValue={setChosen} options={others.map((each) => [each.id, each.name] as const)} />}
        <ProblemNote problem={sending.rest} />
        <div className="flex justify-end gap-2">
          <Button onClick={onClose}>{text.common.cancel}</Button>
          <Button type="submit" tone="primary" busy={sending.busy} disabled={!siteId}>{words.moveRun}</Button>
        </div>
      </Form>
    </Loaded>
  );
}
