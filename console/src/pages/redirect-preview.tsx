// Where would this device go, and why: asked of the gateway itself, and nothing changes by asking.
import type { Answer, Body } from '#api/contract.ts';
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import { call } from '../api.ts';
import { absolute, count, shortAbsolute } from '../format.ts';
import { customersQuery, meQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Card } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Check } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { sentence } from './certificate-parts.tsx';
import { serverName } from './server-name.ts';

const words = text.fleet.redirects;
const route = getRouteApi('/inside/data/redirects');
type Preview = Answer<'previewRedirect'>;
type By = NonNullable<Body<'previewRedirect'>['by']>;
const BYS: readonly By[] = ['sign', 'key', 'certificate', 'agent', 'nothing'];

export function PreviewCard() {
  const search = route.useSearch();
  const { data: me } = useQuery(meQuery);
  const customers = useQuery({ ...customersQuery, enabled: me?.severalCustomers ?? false });
  const [serial, setSerial] = useState(search.serial ?? '');
  const [customer, setCustomer] = useState('');
  const [from, setFrom] = useState('');
  const [host, setHost] = useState('');
  const [by, setBy] = useState<By>('sign');
  const [secure, setSecure] = useState(true);
  const [wrong, setWrong] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const [preview, setPreview] = useState<{ readonly serial: string; readonly answer: Preview } | null>(null);
  const ask = async (asked: string) => {
    setWrong(asked === '');
    if (asked === '') return;
    setBusy(true);
    setProblem(null);
    try {
      const answer = await call('previewRedirect', { body: { serial: asked, ...(customer ? { customer } : {}), ...(from.trim() ? { from: from.trim() } : {}), ...(host.trim() ? { host: host.trim() } : {}), by, secure } });
      setPreview({ serial: asked, answer });
    } catch (thrown) {
      setPreview(null);
      setProblem(thrown);
    }
    setBusy(false);
  };
  // Who comes from a device's page has asked already.
  const first = useRef(search.serial);
  useEffect(() => {
    if (first.current) void ask(first.current);
    first.current = undefined;
  });
  return (
    <Card title={words.preview} about={words.previewAbout}>
      <form
        noValidate
        className="flex flex-col gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          void ask(serial.trim());
        }}
      >
        <div className="grid gap-4 sm:grid-cols-2">
          <TextField label={words.serial} value={serial} onValue={setSerial} placeholder="SN5150" maxLength={128} autoComplete="off" autoCapitalize="none" spellCheck={false} error={wrong ? words.serialMissing : undefined} className="font-mono" />
          <TextField label={words.from} value={from} onValue={setFrom} placeholder="198.51.100.7" maxLength={45} autoComplete="off" className="font-mono" />
        </div>
        {(customers.data?.items.length ?? 0) > 1 ? <SelectField label={words.customer} value={customer} onValue={setCustomer} options={(customers.data?.items ?? []).map((each, at) => [at === 0 ? '' : each.key, each.name])} /> : null}
        <details>
          <summary className="text-sm text-ink-2 hover:text-ink">{words.more}</summary>
          <div className="mt-3 flex flex-col gap-4">
            <TextField label={words.host} hint={words.hostHint} value={host} onValue={setHost} maxLength={253} autoComplete="off" className="font-mono" />
            <SelectField label={words.by} value={by} onValue={(next) => setBy(BYS.find((each) => each === next) ?? 'sign')} options={BYS.map((each) => [each, words.bys[each]])} />
            <Check label={words.secure} checked={secure} onChecked={setSecure} />
          </div>
        </details>
        <div className="flex justify-end"><Button type="submit" tone="primary" busy={busy}>{words.ask}</Button></div>
      </form>
      <ProblemNote problem={problem} />
      {preview ? <Result serial={preview.serial} preview={preview.answer} /> : null}
    </Card>
  );
}

const ruleLooks = { taken: 'text-ok-ink', not: 'text-ink-3', behind: 'text-ink-3' } as const;

function Result({ serial, preview }: { serial: string; preview: Preview }) {
  const { decision, device, rules, lease, failed, epochs, known } = preview;
  const sent = decision.kind === 'send';
  return (
    <div role="status" data-decision={decision.kind} className="mt-5 flex flex-col gap-4 border-t border-line pt-4 text-sm">
      <div className={`rounded-xl border px-4 py-3 ${sent ? 'border-accent/30 bg-accent-soft' : 'border-line bg-sunken'}`}>
        <p className="text-xs text-ink-2">{device ? <Link to="/devices/$device" params={{ device: device.label }} className="rounded-sm hover:underline">{device.name} ({serial})</Link> : <span className="font-mono">{serial}</span>}</p>
        <p className={`text-base font-semibold ${sent ? 'text-accent-ink' : ''}`}>{sent ? words.send(serverName(decision.server ?? '')) : words.stay}</p>
        {decision.base ? <p className="font-mono text-xs break-all text-ink-2">{decision.base}</p> : null}
        <p className="mt-1 break-words text-ink-2">{sentence(decision.text)}</p>
        {known ? null : <p className="mt-1 text-warn-ink">{words.unknown}</p>}
      </div>
      {lease ? <p className="text-ink-2" title={absolute(lease.until)}>{words.leaseNow(serverName(lease.server), shortAbsolute(lease.until))}</p> : null}
      {failed.map((each) => <p key={each.server} className="text-bad-ink">{words.failedAt(each.server, shortAbsolute(each.until))}</p>)}
      {rules.length > 0 ? (
        <ol className="flex flex-col gap-1.5">
          {rules.map((rule) => (
            <li key={rule.rule} data-preview-rule={rule.state} className="flex items-start gap-2">
              <Icon name={rule.state === 'taken' ? 'ok' : rule.state === 'not' ? 'close' : 'down'} size={15} className={`mt-0.5 ${ruleLooks[rule.state]}`} />
              <span className="min-w-0"><span className={rule.state === 'taken' ? 'font-medium' : 'text-ink-2'}>{rule.rule}</span> <span className={ruleLooks[rule.state]}>{words.ruleStates[rule.state]}</span>{rule.why ? <span className="text-ink-3">: {rule.why}</span> : null}</span>
            </li>
          ))}
        </ol>
      ) : null}
      {epochs.length > 0 ? (
        <div>
          <h3 className="mb-1 text-xs font-medium text-ink-3">{words.itsData}</h3>
          <ul className="flex flex-col gap-1 num">
            {epochs.map((each) => (
              <li key={`${each.feed} ${each.epoch}`} className="flex flex-wrap gap-x-2"><span className="font-medium">{each.feed}</span><span className="font-mono text-xs leading-5 text-ink-3">{each.epoch}</span><span className="text-ink-2">{words.bytes(count(each.start), count(each.next))}</span>{each.sealedAt === null ? null : <span className="text-ink-2">{words.sealed(each.sealedTo ?? text.data.states.sealedSomewhere)}</span>}</li>
            ))}
          </ul>
        </div>
      ) : null}
    </div>
  );
}
