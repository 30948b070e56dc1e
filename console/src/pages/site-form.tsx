// A site, filled in: its name, the networks inside, and where its traffic comes from.
import type { SiteDetailView } from '#api/place-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { linesOf } from '../config-document.ts';
import { customersQuery, meQuery, refreshPlaces, siteLanQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Button } from '../ui/button.tsx';
import { TextArea } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { Icon } from '../ui/icons.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { useSending } from './form-send.ts';

const words = text.places.site.form;

export function AddSite({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} sticky title={words.addTitle}>
      <SiteForm site={null} onClose={onClose} />
    </Dialog>
  );
}

export function ChangeSite({ site, open, onClose }: { site: SiteDetailView; open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} sticky title={words.changeTitle(site.name)}>
      <SiteForm site={site} onClose={onClose} />
    </Dialog>
  );
}

/** Every network has the same; nobody is told apart by it. */
export const isLinkLocal = (address: string): boolean => /^(?:fe[89ab][0-9a-f]:|169\.254\.)/i.test(address);
const holds = (lines: string, network: string) => linesOf(lines).some((each) => each === network || `${each}/32` === network || `${network}/32` === each);

function SiteForm({ site, onClose }: { site: SiteDetailView | null; onClose: () => void }) {
  const { data: me } = useQuery(meQuery);
  const customers = useQuery({ ...customersQuery, enabled: site === null && (me?.severalCustomers ?? false) });
  const lan = useQuery({ ...siteLanQuery(site?.id ?? ''), enabled: site !== null && site.agents.some((agent) => agent.online) });
  const navigate = useNavigate();
  const [name, setName] = useState(site?.name ?? '');
  const [customerId, setCustomerId] = useState('');
  const [subnets, setSubnets] = useState((site?.subnets ?? []).join('\n'));
  const [egress, setEgress] = useState((site?.egress ?? []).join('\n'));
  const [tried, setTried] = useState(false);
  const sending = useSending(['name', 'subnets', 'egress', 'customerId']);
  const submit = () => {
    setTried(true);
    if (!name.trim()) return;
    const body = { name: name.trim(), subnets: linesOf(subnets), egress: linesOf(egress) };
    void sending.send(async () => {
      const done = site === null ? await call('addSite', { body: { ...body, ...(customerId ? { customerId } : {}) } }) : await call('changeSite', { params: { site: site.id }, body });
      say(site === null ? words.added(done.name) : words.changed(done.name));
      await refreshPlaces();
      onClose();
      if (site === null) await navigate({ to: '/sites/$site', params: { site: done.id } });
    });
  };
  const seenSubnets = [...new Set((lan.data ?? []).flatMap((each) => each.subnets))].filter((each) => !isLinkLocal(each) && !holds(subnets, each));
  const seenEgress = [...new Set((site?.observed ?? []).filter((each) => each.isPublic && !each.isListed).map((each) => each.address))].filter((each) => !holds(egress, each));
  return (
    <Form onSubmit={submit}>
      <TextField label={words.name} value={name} onValue={setName} error={tried && !name.trim() ? words.nameWrong : sending.at('name')} maxLength={100} autoComplete="off" />
      {customers.data && customers.data.items.length > 1 ? <SelectField label={words.customer} value={customerId || customers.data.items[0]!.id} onValue={setCustomerId} options={customers.data.items.map((each) => [each.id, each.name] as const)} /> : null}
      <div className="flex flex-col gap-2">
        <TextArea label={`${words.subnets} (${text.common.optional})`} hint={words.subnetsHint} error={sending.at('subnets', linesOf(subnets))} value={subnets} onValue={setSubnets} rows={3} />
        <Seen list={seenSubnets} onTake={(each) => setSubnets((before) => [...linesOf(before), each].join('\n'))} />
      </div>
      <div className="flex flex-col gap-2">
        <TextArea label={`${words.egress} (${text.common.optional})`} hint={words.egressHint} error={sending.at('egress', linesOf(egress))} value={egress} onValue={setEgress} rows={2} />
        <Seen list={seenEgress} onTake={(each) => setEgress((before) => [...linesOf(before), each].join('\n'))} />
      </div>
      <ProblemNote problem={sending.rest} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={sending.busy}>{site === null ? words.addTitle : text.common.save}</Button>
      </div>
    </Form>
  );
}

/** What was seen and is not in the list yet: one press adds it. */
export function Seen({ list, onTake }: { list: readonly string[]; onTake: (value: string) => void }) {
  if (list.length === 0) return null;
  return (
    <p className="flex flex-wrap items-center gap-1.5 text-sm text-ink-2">
      {words.suggested}:
      {list.map((each) => (
        <button key={each} type="button" aria-label={words.add(each)} onClick={() => onTake(each)} className="inline-flex max-w-full items-center gap-1 rounded-lg border border-line-strong bg-surface px-2 py-0.5 font-mono text-xs text-ink shadow-1 hover:bg-sunken">
          <Icon name="plus" size={12} />
          <span className="truncate">{each}</span>
        </button>
      ))}
    </p>
  );
}
