// What the private CA gives: a certificate at once, the same again with another key, and signatures below requests that people bring.
import type { CertificateDetailView, CertificateFormView, SignedView, SwapView } from '#api/certificate-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { call } from '../api.ts';
import { linesOf, numberOf } from '../config-document.ts';
import { absolute } from '../format.ts';
import { certificateFormQuery, refreshCertificates } from '../queries.ts';
import { text } from '../text.ts';
import { Callout, CopyValue, Facts } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { Check, TextArea } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Loaded } from '../ui/list.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { useDeed } from './certificate-deed.ts';
import { KeyKinds, NameField, NamesField, useOwnCertificates, wrongName } from './certificate-fields.tsx';
import { PemBlock } from './certificate-files.tsx';
import { SwapButton } from './certificate-swap.tsx';

const words = text.certificates.issue;
type Kind = 'server' | 'client';
const kindOf = (value: string): Kind => (value === 'client' ? 'client' : 'server');

export function IssueForm({ onDone }: { onDone: (id: string) => void }) {
  const form = useQuery(certificateFormQuery());
  return <Loaded query={form} lines={6}>{form.data ? <IssueBody form={form.data} onDone={onDone} /> : null}</Loaded>;
}

function IssueBody({ form, onDone }: { form: CertificateFormView; onDone: (id: string) => void }) {
  const own = useOwnCertificates();
  const deed = useDeed(['name', 'names', 'commonName', 'keyKind', 'kind']);
  const [name, setName] = useState(form.suggestion.name);
  const [kind, setKind] = useState<Kind>('server');
  const [commonName, setCommonName] = useState(form.suggestion.commonName);
  const [names, setNames] = useState(form.suggestion.names.join('\n'));
  const [keyKind, setKeyKind] = useState(form.suggestion.keyKind);
  const submit = () =>
    deed.run(
      [wrongName(name, own), kind === 'server' && linesOf(names).length === 0 && { path: 'names', message: text.certificates.names.none }, kind === 'client' && commonName.trim() === '' && { path: 'commonName', message: words.commonNameMissing }],
      async () => {
        const made = await call('issueCertificate', { body: { name: name.trim(), kind, commonName: kind === 'client' ? commonName.trim() : null, keyKind, names: kind === 'server' ? linesOf(names) : [] } });
        await refreshCertificates();
        say(words.made(made.name));
        onDone(made.id);
      },
    );
  return (
    <form
      ref={deed.form}
      noValidate
      className="flex flex-col gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <p className="text-sm text-ink-2">{words.about}</p>
      <div className="grid items-start gap-4 sm:grid-cols-2">
        <NameField value={name} onValue={setName} deed={deed} />
        <SelectField label={words.kind} value={kind} onValue={(value) => setKind(kindOf(value))} options={Object.entries(words.kinds)} />
      </div>
      {kind === 'client' ? <TextField label={words.commonName} hint={words.commonNameHint} value={commonName} onValue={setCommonName} error={deed.at('commonName')} maxLength={64} autoComplete="off" spellCheck={false} wide="sm:max-w-sm" /> : <NamesField value={names} onValue={setNames} wanted={form.wantedNames} error={deed.at('names')} />}
      <KeyKinds form={form} value={keyKind} onValue={setKeyKind} />
      <ProblemNote problem={deed.problem} />
      <div className="flex justify-end"><Button type="submit" tone="primary" busy={deed.busy}>{words.submit}</Button></div>
    </form>
  );
}

export function IssueAgain({ certificate, open, onClose }: { certificate: CertificateDetailView; open: boolean; onClose: () => void }) {
  const form = useQuery({ ...certificateFormQuery({ certificate: certificate.id }), enabled: open });
  return (
    <Dialog open={open} onClose={onClose} sticky wide title={words.againTitle(certificate.name)} about={words.againAbout}>
      <Loaded query={form} lines={6}>{form.data ? <IssueAgainBody certificate={certificate} form={form.data} onClose={onClose} /> : null}</Loaded>
    </Dialog>
  );
}

function IssueAgainBody({ certificate, form, onClose }: { certificate: CertificateDetailView; form: CertificateFormView; onClose: () => void }) {
  const deed = useDeed(['names', 'keyKind']);
  const [names, setNames] = useState(form.suggestion.names.join('\n'));
  const [keyKind, setKeyKind] = useState(form.suggestion.keyKind);
  const [swap, setSwap] = useState<SwapView | null>(null);
  const params = { certificate: certificate.id };
  const body = () => ({ keyKind, names: linesOf(names) });
  if (swap) {
    return (
      <SwapButton
        swap={swap}
        action={words.submit}
        onClose={onClose}
        before={<Button tone="quiet" onClick={() => setSwap(null)}>{words.change}</Button>}
        run={async () => {
          await call('issueCertificateAgain', { params, body: { ...body(), acknowledged: true, against: swap.certificate?.fingerprint ?? null } });
          say(words.made(certificate.name));
        }}
      />
    );
  }
  return (
    <form
      ref={deed.form}
      noValidate
      className="flex flex-col gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        void deed.run([], async () => setSwap(await call('issueCertificateAgain', { params, query: { dryRun: 'true' }, body: body() })));
      }}
    >
      <NamesField value={names} onValue={setNames} wanted={form.wantedNames} error={deed.at('names')} />
      <KeyKinds form={form} value={keyKind} onValue={setKeyKind} />
      <ProblemNote problem={deed.problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={deed.busy}>{words.look}</Button>
      </div>
    </form>
  );
}

const signWords = text.certificates.sign;

export function SignForm() {
  const [signed, setSigned] = useState<SignedView | null>(null);
  return signed ? <Signed signed={signed} onAnother={() => setSigned(null)} /> : <SignBody onSigned={setSigned} />;
}

function SignBody({ onSigned }: { onSigned: (signed: SignedView) => void }) {
  const deed = useDeed(['csr', 'kind', 'names', 'days']);
  const [csr, setCsr] = useState('');
  const [kind, setKind] = useState<Kind>('server');
  const [names, setNames] = useState('');
  const [days, setDays] = useState('');
  const file = useRef<HTMLInputElement>(null);
  const isDays = days.trim() === '' || (numberOf(days) >= 1 && numberOf(days) <= 396);
  const submit = () =>
    deed.run([csr.trim() === '' && { path: 'csr', message: signWords.csrMissing }, !isDays && { path: 'days', message: signWords.daysWrong }], async () => {
      onSigned(await call('signCertificateRequest', { body: { csr, kind, names: linesOf(names).length > 0 ? linesOf(names) : null, ...(days.trim() === '' ? {} : { days: numberOf(days) }) } }));
    });
  return (
    <form
      ref={deed.form}
      noValidate
      className="flex flex-col gap-5"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <p className="text-sm text-ink-2">{signWords.about}</p>
      <div className="flex flex-col gap-2">
        <TextArea label={signWords.csr} hint={signWords.csrHint} error={deed.at('csr')} value={csr} onValue={setCsr} rows={7} placeholder="-----BEGIN CERTIFICATE REQUEST-----" />
        <div><Button size="sm" icon="plus" onClick={() => file.current?.click()}>{signWords.chooseFile}</Button></div>
        <input ref={file} type="file" tabIndex={-1} aria-label={signWords.chooseFile} className="sr-only" onChange={(event) => void event.target.files?.[0]?.text().then((read) => setCsr(read.slice(0, 100_000)))} />
      </div>
      <div className="grid items-start gap-4 sm:grid-cols-[1fr_9rem]">
        <SelectField label={signWords.kind} value={kind} onValue={(value) => setKind(kindOf(value))} options={Object.entries(signWords.kinds)} />
        <TextField label={`${signWords.days} (${text.common.optional})`} hint={signWords.daysHint} value={days} onValue={setDays} error={deed.at('days')} inputMode="numeric" maxLength={3} />
      </div>
      <NamesField optional label={signWords.names} hint={signWords.namesHint} value={names} onValue={setNames} error={deed.at('names')} />
      <ProblemNote problem={deed.problem} />
      <div className="flex justify-end"><Button type="submit" tone="primary" busy={deed.busy}>{signWords.submit}</Button></div>
    </form>
  );
}

function Signed({ signed, onAnother }: { signed: SignedView; onAnother: () => void }) {
  const [withCa, setWithCa] = useState(false);
  const pem = withCa ? signed.chainPem : signed.pem;
  return (
    <div className="flex flex-col gap-5">
      <Callout mood="ok" icon="ok" title={signWords.doneTitle}>{signWords.doneAbout}</Callout>
      <Facts
        rows={[
          [signWords.subject, <span className="font-mono text-xs break-all">{signed.subject || '–'}</span>], [signWords.names2, <span className="font-mono text-xs break-all">{[...signed.names.dns, ...signed.names.ip].join(', ') || '–'}</span>], [signWords.until, absolute(signed.notAfter)],
          [text.certificates.page.sha256, <CopyValue value={signed.fingerprint} label={text.certificates.page.sha256} />],
        ]}
      />
      <Check label={signWords.withCa} checked={withCa} onChecked={setWithCa} />
      <PemBlock pem={pem} label={signWords.chain} fileName="signed.pem" download={withCa ? signWords.downloadChain : signWords.download} />
      <div className="flex justify-end"><Button onClick={onAnother}>{signWords.another}</Button></div>
    </div>
  );
}
