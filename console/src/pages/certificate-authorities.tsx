// Accounts with ACME authorities, and keys for DNS servers: what orders and renewals lean on.
import type { AcmeAccountView, CertificateFormView, DnsKeyViewShown } from '#api/certificate-shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { acmeAccountsQuery, certificateFormQuery, dnsKeysQuery, meQuery, refreshCertificates } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, Empty, PageHead, Time } from '../ui/bits.tsx';
import { Button, IconButton } from '../ui/button.tsx';
import { useKept } from '../ui/kept.ts';
import { Loaded } from '../ui/list.tsx';
import { Confirm, Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { AccountFields, accountFields, accountOf, DirectoryField, directoryNameOf, emptyAccount, wrongAccount } from './certificate-account.tsx';
import { BackToCertificates } from './certificate-add.tsx';
import { useDeed } from './certificate-deed.ts';
import { SetDnsKey } from './certificate-dns.tsx';

const words = text.certificates.authority;

export function AuthoritiesPage() {
  const { data: me } = useQuery(meQuery);
  const mayChange = me?.may.administerGateway === true;
  return (
    <>
      <PageHead title={words.title} before={<BackToCertificates />} />
      <div className="grid items-start gap-5 xl:grid-cols-2">
        <Accounts mayChange={mayChange} />
        <DnsKeys mayChange={mayChange} />
      </div>
    </>
  );
}

function Accounts({ mayChange }: { mayChange: boolean }) {
  const accounts = useQuery(acmeAccountsQuery);
  const [adding, setAdding] = useState(false);
  const [leaving, setLeaving] = useState<AcmeAccountView | null>(null);
  const form = useQuery({ ...certificateFormQuery(), enabled: adding });
  const rows = accounts.data?.items ?? [];
  return (
    <Card title={words.accounts} about={words.accountsAbout} flush actions={mayChange ? <Button size="sm" icon="plus" onClick={() => setAdding(true)}>{words.register}</Button> : null}>
      <Loaded query={accounts} lines={2}>
        {rows.length === 0 ? <Empty icon="account" title={words.noAccounts}>{words.noAccountsAbout}</Empty> : null}
        <ul className="divide-y divide-line border-t border-line empty:hidden">
          {rows.map((each) => (
            <li key={each.directoryUrl} className="flex items-start gap-3 px-4 py-3 sm:px-5">
              <div className="min-w-0 flex-1 text-sm">
                <p className="flex flex-wrap items-center gap-2 font-medium">
                  {directoryNameOf(each.directoryUrl)}
                  {each.hasOwnRoot ? <Badge>{words.ownRoot}</Badge> : null}
                </p>
                <p className="font-mono text-xs break-all text-ink-3">{each.directoryUrl}</p>
                <p className="mt-0.5 flex flex-wrap gap-x-3 text-xs text-ink-2">
                  {each.contact ? <span className="break-all">{each.contact}</span> : null}
                  <span>{words.since} <Time at={each.registeredAt} /></span>
                  {each.externalKeyId ? <span className="break-all">{words.eab(each.externalKeyId)}</span> : null}
                </p>
              </div>
              {mayChange ? <IconButton icon="trash" size="sm" label={words.forgetOf(directoryNameOf(each.directoryUrl))} onClick={() => setLeaving(each)} /> : null}
            </li>
          ))}
        </ul>
      </Loaded>
      <Dialog open={adding} onClose={() => setAdding(false)} sticky wide title={words.registerTitle}>
        <Loaded query={form} lines={4}>{form.data ? <Register form={form.data} onClose={() => setAdding(false)} /> : null}</Loaded>
      </Dialog>
      <Confirm
        open={leaving !== null}
        onClose={() => setLeaving(null)}
        title={words.forgetTitle}
        about={words.forgetAbout}
        action={words.forget}
        run={async () => {
          if (leaving) await call('removeAcmeAccount', { body: { directory: leaving.directoryUrl } });
          await refreshCertificates();
          say(words.forgotten);
        }}
      />
    </Card>
  );
}

function Register({ form, onClose }: { form: CertificateFormView; onClose: () => void }) {
  const deed = useDeed(accountFields);
  const [draft, setDraft] = useState(emptyAccount);
  const submit = () =>
    deed.run(wrongAccount(draft), async () => {
      await call('setAcmeAccount', { body: accountOf(draft) });
      await refreshCertificates();
      say(words.registered);
      onClose();
    });
  const fields = { form, value: draft, onValue: setDraft, deed };
  return (
    <form
      ref={deed.form}
      noValidate
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <DirectoryField {...fields} />
      <AccountFields {...fields} always />
      <ProblemNote problem={deed.problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={deed.busy}>{words.register}</Button>
      </div>
    </form>
  );
}

function DnsKeys({ mayChange }: { mayChange: boolean }) {
  const keys = useQuery(dnsKeysQuery);
  const [setting, setSetting] = useState(false);
  const [removing, setRemoving] = useState<DnsKeyViewShown | null>(null);
  const leaving = useKept(removing);
  const rows = keys.data?.items ?? [];
  return (
    <Card title={words.keys} about={words.keysAbout} flush actions={mayChange ? <Button size="sm" icon="plus" onClick={() => setSetting(true)}>{words.setKey}</Button> : null}>
      <Loaded query={keys} lines={2}>
        {rows.length === 0 ? <Empty icon="key" title={words.noKeys}>{words.noKeysAbout}</Empty> : null}
        <ul className="divide-y divide-line border-t border-line empty:hidden">
          {rows.map((each) => (
            <li key={each.name} className="flex items-center gap-3 px-4 py-2.5 sm:px-5">
              <div className="min-w-0 flex-1 text-sm">
                <p className="font-mono break-all">{each.name}</p>
                <p className="text-xs text-ink-3">{each.algorithm} · {words.set} <Time at={each.setAt} /></p>
              </div>
              {mayChange ? <IconButton icon="trash" size="sm" label={words.removeOf(each.name)} onClick={() => setRemoving(each)} /> : null}
            </li>
          ))}
        </ul>
      </Loaded>
      <SetDnsKey open={setting} onClose={() => setSetting(false)} />
      <Confirm
        open={removing !== null}
        onClose={() => setRemoving(null)}
        title={words.removeTitle(leaving?.name ?? '')}
        about={words.removeAbout}
        action={text.common.remove}
        run={async () => {
          if (removing) await call('removeDnsKey', { params: { name: removing.name } });
          await refreshCertificates();
          say(words.removed);
        }}
      />
    </Card>
  );
}
