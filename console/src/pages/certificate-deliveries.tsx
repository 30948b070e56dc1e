// Agents that put a certificate in place beside application servers: who, as what, and how it went.
import type { CertificateView } from '#api/certificate-shapes.ts';
import type { DeliveryView } from '#api/delivery-shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { agentsQuery, deliveriesQuery, itemsOf, refreshCertificates } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, CopyBlock, Dot, Empty, Time, type Mood } from '../ui/bits.tsx';
import { Button, IconButton } from '../ui/button.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Loaded } from '../ui/list.tsx';
import { Confirm, Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say, sayProblem } from '../ui/toast.tsx';
import { useDeed } from './certificate-deed.ts';
import { sentence } from './certificate-parts.tsx';

const words = text.certificates.deliveries;
const moods: Record<DeliveryView['state'], Mood> = { pending: 'neutral', delivered: 'ok', failed: 'bad', refused: 'bad', unsupported: 'warn' };

export function DeliveriesCard({ certificate }: { certificate: CertificateView }) {
  const deliveries = useQuery(deliveriesQuery(certificate.id));
  const [adding, setAdding] = useState(false);
  const [leaving, setLeaving] = useState<DeliveryView | null>(null);
  const rows = deliveries.data?.items ?? [];
  const add = certificate.mayChange ? <Button size="sm" icon="plus" onClick={() => setAdding(true)}>{words.add}</Button> : null;
  return (
    <Card title={words.title} about={words.about} actions={rows.length > 0 ? add : null} flush>
      <Loaded query={deliveries} lines={2}>
        {rows.length === 0 ? <Empty icon="devices" title={words.none} action={add}>{words.noneAbout}</Empty> : null}
        <ul className="divide-y divide-line border-t border-line empty:hidden">
          {rows.map((each) => <DeliveryRow key={each.id} delivery={each} mayChange={certificate.mayChange} onRemove={() => setLeaving(each)} />)}
        </ul>
      </Loaded>
      <Dialog open={adding} onClose={() => setAdding(false)} sticky wide title={words.addTitle(certificate.name)} about={words.addAbout}>
        <AddDelivery certificate={certificate} onClose={() => setAdding(false)} />
      </Dialog>
      <Confirm
        open={leaving !== null}
        onClose={() => setLeaving(null)}
        title={words.removeTitle(leaving?.agent ?? '')}
        about={words.removeAbout}
        action={words.remove}
        run={async () => {
          if (leaving) await call('removeDelivery', { params: { certificate: certificate.id, id: leaving.id } });
          await refreshCertificates();
          say(words.removed);
        }}
      />
    </Card>
  );
}

function DeliveryRow({ delivery, mayChange, onRemove }: { delivery: DeliveryView; mayChange: boolean; onRemove: () => void }) {
  const { agent, as, online, state, waitsFor, why, exitCode, output, deliveredAt, triedAt, nextTryAt } = delivery;
  const [busy, setBusy] = useState(false);
  const retry = async () => {
    setBusy(true);
    try {
      await call('retryDelivery', { params: { certificate: delivery.certificateId, id: delivery.id } });
      say(words.retried);
      await refreshCertificates();
    } catch (thrown) {
      sayProblem(thrown);
    }
    setBusy(false);
  };
  return (
    <li className="flex flex-wrap items-start gap-x-3 gap-y-2 px-4 py-3 sm:px-5" data-delivery={state}>
      <span className="mt-1.5"><Dot mood={online ? 'ok' : 'neutral'} label={online ? text.device.online : text.device.offline} /></span>
      <div className="min-w-0 flex-1 basis-44 text-sm">
        <p className="flex flex-wrap items-center gap-x-2 gap-y-1">
          <span className="font-medium break-words">{agent}</span>
          <span className="font-mono text-xs break-all text-ink-2">{words.asName(as)}</span>
          <Badge mood={moods[state]}>{words.states[state]}</Badge>
        </p>
        <p className="mt-0.5 flex flex-wrap gap-x-3 text-xs text-ink-3">
          {deliveredAt === null ? null : <span>{words.delivered} <Time at={deliveredAt} /></span>}
          {state !== 'delivered' && triedAt !== null ? <span>{words.tried} <Time at={triedAt} /></span> : null}
          {nextTryAt === null ? null : <span>{words.nextTry} <Time at={nextTryAt} /></span>}
          {waitsFor ? <span>{words.waitsFor(waitsFor)}</span> : null}
        </p>
        {state !== 'delivered' && why ? <p className="mt-1 break-words whitespace-pre-wrap text-bad-ink">{sentence(why)}</p> : null}
        {state === 'failed' && exitCode !== null ? <p className="mt-0.5 text-ink-2">{words.exitCode(exitCode)}</p> : null}
        {state === 'failed' && output ? <pre className="mt-1 max-h-40 overflow-auto rounded-lg bg-sunken px-2.5 py-1.5 font-mono text-xs whitespace-pre-wrap">{output}</pre> : null}
      </div>
      {mayChange ? (
        <div className="flex items-center gap-1">
          {state === 'delivered' ? null : <Button size="sm" icon="refresh" busy={busy} aria-label={words.retryOf(agent)} onClick={() => void retry()}>{words.retry}</Button>}
          <IconButton icon="trash" size="sm" label={words.removeOf(agent)} onClick={onRemove} />
        </div>
      ) : null}
    </li>
  );
}

function AddDelivery({ certificate, onClose }: { certificate: CertificateView; onClose: () => void }) {
  const agents = useInfiniteQuery(agentsQuery);
  const usable = (itemsOf(agents.data) ?? []).filter((each) => each.state !== 'revoked');
  const deed = useDeed(['agentId', 'as']);
  const [chosen, setChosen] = useState('');
  const [as, setAs] = useState(certificate.name);
  const agentId = chosen || (usable[0]?.id ?? '');
  const submit = () =>
    deed.run([], async () => {
      await call('addDelivery', { params: { certificate: certificate.id }, body: { agentId, as: as.trim() } });
      await refreshCertificates();
      say(words.added);
      onClose();
    });
  return (
    <Loaded query={agents} lines={3}>
      {usable.length === 0 ? <p className="text-sm text-ink-2">{words.noAgents}</p> : (
        <form
          ref={deed.form}
          noValidate
          className="flex flex-col gap-4"
          onSubmit={(event) => {
            event.preventDefault();
            void submit();
          }}
        >
          <div className="grid items-start gap-4 sm:grid-cols-2">
            <SelectField label={words.agent} value={agentId} onValue={setChosen} options={usable.map((each) => [each.id, words.agentState(each.name, each.online)] as const)} />
            <TextField label={words.as} hint={words.asHint} value={as} onValue={setAs} error={deed.at('as')} maxLength={100} className="font-mono" autoComplete="off" autoCapitalize="none" spellCheck={false} />
          </div>
          <div className="flex flex-col gap-1.5">
            <p className="text-sm text-ink-2">{words.policyAbout}</p>
            <CopyBlock value={words.policyLine(as.trim() || certificate.name)} label={words.policy} />
          </div>
          <ProblemNote problem={deed.problem} />
          <div className="flex justify-end gap-2">
            <Button onClick={onClose}>{text.common.cancel}</Button>
            <Button type="submit" tone="primary" busy={deed.busy}>{words.submit}</Button>
          </div>
        </form>
      )}
    </Loaded>
  );
}
