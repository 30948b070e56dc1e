// A key made here and a request (CSR) for it: for a new certificate, or anew for one that there is.
import type { CertificateFormView } from '#api/certificate-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { linesOf } from '../config-document.ts';
import { certificateFormQuery, refreshCertificates } from '../queries.ts';
import { text } from '../text.ts';
import { Button } from '../ui/button.tsx';
import { Loaded } from '../ui/list.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { useDeed } from './certificate-deed.ts';
import { KeyKinds, NameField, NamesField, SubjectFields, subjectOf, useOwnCertificates, wrongName } from './certificate-fields.tsx';
import { PemBlock } from './certificate-files.tsx';

const words = text.certificates.request;

interface Target {
  readonly id: string;
  readonly name: string;
}

export function RequestAgain({ certificate, open, onClose }: { certificate: Target; open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} sticky wide title={words.againTitle(certificate.name)} about={words.againAbout}>
      <RequestForm again={certificate} onDone={onClose} onCancel={onClose} />
    </Dialog>
  );
}

interface RequestProps {
  again: Target | null;
  onDone: (id: string) => void;
  onCancel?: () => void;
}

export function RequestForm(props: RequestProps) {
  const form = useQuery(certificateFormQuery(props.again ? { certificate: props.again.id } : {}));
  return <Loaded query={form} lines={6}>{form.data ? <RequestBody {...props} form={form.data} /> : null}</Loaded>;
}

function RequestBody({ again, onDone, onCancel, form }: RequestProps & { form: CertificateFormView }) {
  const own = useOwnCertificates();
  const deed = useDeed(['name', 'names', 'keyKind', ...['commonName', 'organization', 'organizationalUnit', 'locality', 'state', 'country'].map((each) => `subject.${each}`)]);
  const { suggestion } = form;
  const [name, setName] = useState(suggestion.name);
  const [names, setNames] = useState(suggestion.names.join('\n'));
  const [subject, setSubject] = useState(() => subjectOf(form));
  const [keyKind, setKeyKind] = useState(suggestion.keyKind);
  const submit = () =>
    deed.run([again === null && wrongName(name, own), linesOf(names).length === 0 && subject.commonName.trim() === '' && { path: 'names', message: text.certificates.names.none }], async () => {
      const body = { subject: { ...subject, commonName: subject.commonName.trim() || null, country: subject.country.trim().toUpperCase() }, keyKind, names: linesOf(names) };
      const made = await (again ? call('requestCertificateAgain', { params: { certificate: again.id }, body }) : call('requestCertificate', { body: { name: name.trim(), ...body } }));
      await refreshCertificates();
      say(words.made);
      onDone(made.id);
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
      {again ? null : <p className="text-sm text-ink-2">{words.about}{suggestion.from ? ` ${words.from(suggestion.from)}` : ''}</p>}
      {again ? null : <div className="sm:max-w-sm"><NameField value={name} onValue={setName} deed={deed} /></div>}
      <NamesField value={names} onValue={setNames} wanted={form.wantedNames} error={deed.at('names')} />
      <SubjectFields value={subject} onValue={setSubject} deed={deed} />
      <KeyKinds form={form} value={keyKind} onValue={setKeyKind} />
      <ProblemNote problem={deed.problem} />
      <div className="flex justify-end gap-2">
        {onCancel ? <Button onClick={onCancel}>{text.common.cancel}</Button> : null}
        <Button type="submit" tone="primary" busy={deed.busy}>{words.submit}</Button>
      </div>
    </form>
  );
}

export function RequestBlock({ pem, name }: { pem: string; name: string }) {
  const page = text.certificates.page;
  return <PemBlock pem={pem} label={page.copyRequest} fileName={`${name.replace(/[^A-Za-z0-9._-]+/g, '-')}.csr`} type="application/pkcs10" download={page.downloadRequest} />;
}
