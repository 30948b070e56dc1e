// An order by ACME: what is wanted, how the authority looks, and what stands in the way, before the authority is asked.
import type { CertificateDetailView, CertificateFormView } from '#api/certificate-shapes.ts';
import type { FindingView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useId, useRef, useState } from 'react';
import { call } from '../api.ts';
import { linesOf } from '../config-document.ts';
import { certificateFormQuery, queryClient, refreshCertificates } from '../queries.ts';
import { text } from '../text.ts';
import { Callout } from '../ui/bits.tsx';
import { Button, Spinner } from '../ui/button.tsx';
import { Icon, type IconName } from '../ui/icons.tsx';
import { Loaded } from '../ui/list.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { accountAt, AccountFields, accountFields, accountOf, DirectoryField, directoryOf, emptyAccount, wrongAccount } from './certificate-account.tsx';
import { useDeed } from './certificate-deed.ts';
import { DnsFields, dnsDraftOf, dnsSettingsOf } from './certificate-dns.tsx';
import { KeyKinds, NameField, NamesField, useOwnCertificates, wrongName, type KeyKind } from './certificate-fields.tsx';
import { sentence } from './certificate-parts.tsx';

const words = text.certificates.order;
type Challenge = CertificateFormView['challenges'][number];

interface OrderProps {
  /** One that there is, ordered with other settings. */
  again: CertificateDetailView | null;
  onDone: (id: string) => void;
  onCancel?: () => void;
}

export function OrderAgain({ certificate, open, onClose }: { certificate: CertificateDetailView; open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} sticky wide title={words.againTitle(certificate.name)} about={words.againAbout}>
      <OrderForm again={certificate} onDone={onClose} onCancel={onClose} />
    </Dialog>
  );
}

export function OrderForm(props: OrderProps) {
  const form = useQuery(certificateFormQuery(props.again ? { certificate: props.again.id } : {}));
  return (
    <Loaded query={form} lines={6}>
      {form.data?.acme === false ? <Callout icon="info" title={words.noAcme}>{words.noAcmeAbout}</Callout> : form.data ? <OrderBody {...props} form={form.data} /> : null}
    </Loaded>
  );
}

const isChallenge = (value: string): value is Challenge => value in words.challenges;

function startOf({ again, form }: { again: CertificateDetailView | null; form: CertificateFormView }) {
  const { suggestion } = form;
  const before = again?.acme;
  if (!before) return { names: suggestion.names.join('\n'), challenge: (suggestion.names.some((each) => each.startsWith('*.')) ? 'dns-01' : 'http-01') as Challenge, keyKind: suggestion.keyKind, dns: dnsDraftOf(null), account: emptyAccount };
  return {
    names: [...before.names.dns, ...before.names.ip].join('\n'), challenge: isChallenge(before.challenge) ? before.challenge : ('http-01' as const), keyKind: form.keyKinds.find((each) => each.kind === before.keyKind)?.kind ?? suggestion.keyKind,
    dns: dnsDraftOf(before.dns), account: accountAt(form, before.directoryUrl),
  };
}

function OrderBody({ again, onDone, onCancel, form }: OrderProps & { form: CertificateFormView }) {
  const own = useOwnCertificates();
  const deed = useDeed(['name', 'names', 'challenge', 'keyKind', 'dns', 'dns.keyName', 'dns.server', 'dns.zone', 'dns.command', 'dns.resolver', 'dns.check', ...accountFields]);
  const [name, setName] = useState(form.suggestion.name);
  const [draft, setDraft] = useState(() => startOf({ again, form }));
  const [findings, setFindings] = useState<{ readonly of: string; readonly all: readonly FindingView[] } | null>(null);
  const [looking, setLooking] = useState(false);
  const set = (part: Partial<typeof draft>) => {
    setDraft({ ...draft, ...part });
    deed.clear();
  };
  const names = linesOf(draft.names).map((each) => each.toLowerCase());
  const hasWildcard = names.some((each) => each.startsWith('*.'));
  const dns = draft.challenge === 'dns-01' ? dnsSettingsOf(draft.dns) : null;
  const order = { names, challenge: draft.challenge, keyKind: draft.keyKind, dns, directory: directoryOf(draft.account) };
  const now = JSON.stringify([names, order.challenge, dns, order.directory]);
  const isLooked = findings !== null && findings.of === now;
  const wouldFail = findings?.all.some((each) => each.status === 'failure') ?? false;
  const wrong = () => [
    again === null && wrongName(name, own), names.length === 0 && { path: 'names', message: text.certificates.names.none }, hasWildcard && draft.challenge !== 'dns-01' && { path: 'challenge', message: words.wildcard }, ...wrongAccount(draft.account),
    dns !== null && draft.dns.way === 'rfc2136' && draft.dns.keyName === '' && { path: 'dns.keyName', message: words.keyMissing }, dns !== null && draft.dns.way === 'command' && draft.dns.command.trim() === '' && { path: 'dns.command', message: words.commandMissing },
  ];
  const look = () =>
    deed.run(wrong(), async () => {
      setLooking(true);
      try {
        const { rootPem } = accountOf(draft.account);
        const { findings: all } = await call('checkCertificateOrder', { body: { names, challenge: draft.challenge, dns, directory: order.directory, rootPem: rootPem ?? null } });
        setFindings({ of: now, all });
      } finally {
        setLooking(false);
      }
    });
  const submit = () =>
    deed.run(wrong(), async () => {
      const made = await (again ? call('orderCertificateAgain', { params: { certificate: again.id }, body: order }) : call('orderCertificate', { body: { name: name.trim(), ...order, ...accountOf(draft.account) } }));
      await refreshCertificates();
      queryClient.setQueryData(['certificate', made.id], made);
      say(words.ordered);
      onDone(made.id);
    });
  return (
    <form
      ref={deed.form}
      noValidate
      className="flex flex-col gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        void (isLooked ? submit() : look());
      }}
    >
      {again ? null : <p className="text-sm text-ink-2">{words.about}</p>}
      <div className="grid items-start gap-4 sm:grid-cols-2">
        {again ? null : <NameField value={name} onValue={setName} deed={deed} />}
        <DirectoryField form={form} value={draft.account} onValue={(account) => set({ account })} deed={deed} />
      </div>
      <NamesField value={draft.names} onValue={(next) => set({ names: next })} wanted={form.wantedNames} error={deed.at('names')} />
      <Challenges kinds={form.challenges} value={draft.challenge} onValue={(challenge) => set({ challenge })} error={deed.at('challenge')} wildcard={hasWildcard} />
      {draft.challenge === 'dns-01' ? <DnsFields value={draft.dns} onValue={(next) => set({ dns: next })} deed={deed} onKeySet={(keyName) => set({ dns: { ...draft.dns, keyName } })} /> : null}
      {again ? null : <AccountFields form={form} value={draft.account} onValue={(account) => set({ account })} deed={deed} />}
      <KeyKinds form={form} value={draft.keyKind} onValue={(keyKind: KeyKind) => set({ keyKind })} />
      {findings ? <Findings findings={findings.all} old={!isLooked} /> : null}
      <ProblemNote problem={deed.problem} />
      <div className="flex flex-wrap items-center justify-end gap-x-3 gap-y-2">
        <p className="mr-auto flex max-w-sm items-center gap-2 text-sm text-ink-2" role="status">{looking ? <><Spinner /> {words.looking}</> : isLooked ? '' : words.lookFirst}</p>
        {onCancel ? <Button onClick={onCancel}>{text.common.cancel}</Button> : null}
        {isLooked ? <Button type="submit" tone={wouldFail ? 'danger' : 'primary'} busy={deed.busy}>{wouldFail ? words.anyway : again ? words.againSubmit : words.submit}</Button> : <Button type="submit" tone="primary" busy={deed.busy}>{words.look}</Button>}
      </div>
    </form>
  );
}

interface ChallengesProps {
  kinds: readonly Challenge[];
  value: Challenge;
  onValue: (value: Challenge) => void;
  error: string | undefined;
  wildcard: boolean;
}

function Challenges({ kinds, value, onValue, error, wildcard }: ChallengesProps) {
  const id = useId();
  return (
    <fieldset className="min-w-0" aria-describedby={error ? `${id}-note` : undefined}>
      <legend className="mb-1.5 text-sm font-medium">{words.challenge}</legend>
      <div className="grid gap-2 sm:grid-cols-3">
        {kinds.map((kind) => {
          const [title, about] = words.challenges[kind];
          const isOut = wildcard && kind !== 'dns-01';
          return (
            <label key={kind} className={`flex cursor-pointer flex-col gap-1 rounded-xl border border-line-strong bg-surface px-3 py-2.5 text-sm shadow-1 hover:bg-sunken has-checked:border-accent has-checked:bg-accent-soft has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-accent ${isOut ? 'opacity-60' : ''}`}>
              <span className="flex items-center gap-2 font-medium">
                <input type="radio" name={id} value={kind} checked={value === kind} onChange={() => onValue(kind)} aria-invalid={error && value === kind ? true : undefined} className="size-4 shrink-0 accent-accent" />
                {title}
              </span>
              <span className="text-ink-2">{about}</span>
            </label>
          );
        })}
      </div>
      {error ? (
        <p id={`${id}-note`} role="alert" className="mt-1.5 flex items-start gap-1.5 text-sm text-bad-ink">
          <Icon name="warning" size={15} className="mt-0.5" />
          {error}
        </p>
      ) : null}
    </fieldset>
  );
}

const looks: Record<FindingView['status'], { icon: IconName; ink: string }> = { ok: { icon: 'ok', ink: 'text-ok-ink' }, warning: { icon: 'warning', ink: 'text-warn-ink' }, failure: { icon: 'bad', ink: 'text-bad-ink' }, skipped: { icon: 'info', ink: 'text-ink-3' } };

function Findings({ findings, old }: { findings: readonly FindingView[]; old: boolean }) {
  const box = useRef<HTMLElement>(null);
  useEffect(() => {
    void box.current?.scrollIntoView({ block: 'nearest', behavior: 'smooth' });
  }, [findings]);
  return (
    <section ref={box} aria-label={words.findings} className={`scroll-mt-4 ${old ? 'opacity-60' : ''}`}>
      <h3 className="mb-2 text-sm font-semibold">{words.findings}</h3>
      {old ? <p className="mb-2 text-sm text-warn-ink">{words.findingsOld}</p> : null}
      <ul className="divide-y divide-line rounded-xl border border-line">
        {findings.map((each) => (
          <li key={each.id} data-finding={each.status} className="flex items-start gap-2.5 px-3 py-2.5 text-sm">
            <Icon name={looks[each.status].icon} size={16} className={`mt-0.5 ${looks[each.status].ink}`} />
            <div className="min-w-0 flex-1">
              <p className="font-medium">{each.title} <span className={`font-normal ${looks[each.status].ink}`}>· {words.statuses[each.status]}</span></p>
              <p className="break-words text-ink-2">{sentence(each.verdict)}</p>
              {each.remedy ? <p className="mt-0.5 break-words">{each.remedy}</p> : null}
              {each.evidence.length > 0 && each.status !== 'ok' ? <ul className="mt-1 font-mono text-xs break-all text-ink-3">{each.evidence.slice(0, 6).map((line) => <li key={line}>{line}</li>)}</ul> : null}
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}
