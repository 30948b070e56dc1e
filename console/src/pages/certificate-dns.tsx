// How records of DNS-01 are made: what an order says of it, and the keys that sign changes of zones.
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { dnsKeysQuery, refreshCertificates } from '../queries.ts';
import { text } from '../text.ts';
import { Button } from '../ui/button.tsx';
import { FormPart } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { useDeed, type Deed } from './certificate-deed.ts';

const words = text.certificates.order;

export interface DnsDraft {
  readonly way: 'rfc2136' | 'command';
  readonly keyName: string;
  readonly server: string;
  readonly zone: string;
  readonly transport: 'udp' | 'tcp';
  readonly command: string;
  readonly resolver: string;
  readonly check: string;
}

type Settings = Readonly<Record<string, string | number | boolean | null>>;

export function dnsDraftOf(settings: Settings | null): DnsDraft {
  const said = (field: string) => String(settings?.[field] ?? '');
  return { way: said('way') === 'command' ? 'command' : 'rfc2136', keyName: said('keyName'), server: said('server'), zone: said('zone'), transport: said('transport') === 'tcp' ? 'tcp' : 'udp', command: said('command'), resolver: said('resolver'), check: said('check') };
}

/** Without what is empty. */
export function dnsSettingsOf({ way, keyName, server, zone, transport, command, resolver, check }: DnsDraft): Record<string, string> {
  const fields = way === 'command' ? { way, command, resolver, check } : { way, keyName, server, zone, transport, resolver, check };
  return Object.fromEntries(Object.entries(fields).flatMap(([field, value]) => (value.trim() === '' ? [] : [[field, value.trim()]])));
}

export function DnsFields({ value, onValue, deed, onKeySet }: { value: DnsDraft; onValue: (value: DnsDraft) => void; deed: Deed; onKeySet: (name: string) => void }) {
  const keys = useQuery(dnsKeysQuery);
  const [setting, setSetting] = useState(false);
  const set = (part: Partial<DnsDraft>) => onValue({ ...value, ...part });
  const field = (name: 'server' | 'zone' | 'command' | 'resolver' | 'check', hint: string, optional = true) => (
    <TextField label={optional ? `${words[name]} (${text.common.optional})` : words[name]} hint={hint} value={value[name]} onValue={(next) => set({ [name]: next })} error={deed.at(`dns.${name}`)} maxLength={300} className="font-mono" autoComplete="off" autoCapitalize="none" spellCheck={false} />
  );
  const names = [...new Set([...(keys.data?.items ?? []).map((each) => each.name), ...(value.keyName ? [value.keyName] : [])])];
  return (
    <FormPart title={words.dns} about={words.delegation}>
      <SelectField label={words.way} value={value.way} onValue={(way) => set({ way: way === 'command' ? 'command' : 'rfc2136' })} options={Object.entries(words.ways)} />
      {value.way === 'command' ? field('command', words.commandHint, false) : (
        <>
          <div className="flex flex-wrap items-end gap-2">
            <SelectField label={words.keyName} wide="flex-1 min-w-40" value={value.keyName} onValue={(keyName) => set({ keyName })} options={[['', names.length === 0 ? words.noKeys : '–'], ...names.map((name) => [name, name] as const)]} aria-invalid={deed.at('dns.keyName') ? true : undefined} />
            <Button icon="key" onClick={() => setSetting(true)}>{words.newKey}</Button>
          </div>
          {deed.at('dns.keyName') ? <p role="alert" className="-mt-2 text-sm text-bad-ink">{deed.at('dns.keyName')}</p> : null}
          <div className="grid items-start gap-4 sm:grid-cols-[1fr_8rem]">
            {field('server', words.serverHint)}
            <SelectField label={words.transport} value={value.transport} onValue={(transport) => set({ transport: transport === 'tcp' ? 'tcp' : 'udp' })} options={Object.entries(words.transports)} />
          </div>
        </>
      )}
      <details className="group">
        <summary className="rounded-md text-sm font-medium text-ink-2 hover:text-ink">{words.more}</summary>
        <div className="mt-3 flex flex-col gap-4">
          {value.way === 'rfc2136' ? field('zone', words.zoneHint) : null}
          {field('resolver', words.resolverHint)}
          {field('check', words.checkHint)}
        </div>
      </details>
      <SetDnsKey open={setting} onClose={() => setSetting(false)} onSet={onKeySet} />
    </FormPart>
  );
}

const ALGORITHMS = ['hmac-sha256', 'hmac-sha384', 'hmac-sha512'];

export function SetDnsKey({ open, onClose, onSet }: { open: boolean; onClose: () => void; onSet?: (name: string) => void }) {
  return (
    <Dialog open={open} onClose={onClose} sticky title={text.certificates.authority.setTitle} about={text.certificates.authority.setAbout}>
      <SetDnsKeyBody onClose={onClose} onSet={onSet} />
    </Dialog>
  );
}

function SetDnsKeyBody({ onClose, onSet }: { onClose: () => void; onSet: ((name: string) => void) | undefined }) {
  const own = text.certificates.authority;
  const deed = useDeed(['name', 'algorithm', 'secret']);
  const [name, setName] = useState('');
  const [algorithm, setAlgorithm] = useState('hmac-sha256');
  const [secret, setSecret] = useState('');
  const submit = () =>
    deed.run([name.trim() === '' && { path: 'name', message: text.add.problems.name }, secret.trim() === '' && { path: 'secret', message: own.secretMissing }], async () => {
      const set = await call('setDnsKey', { body: { name: name.trim(), algorithm, secret: secret.trim() } });
      await refreshCertificates();
      say(own.setSaid);
      onSet?.(set.name);
      onClose();
    });
  return (
    <form
      ref={deed.form}
      noValidate
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        // It stands inside another form.
        event.stopPropagation();
        void submit();
      }}
    >
      <TextField label={own.keyName} value={name} onValue={setName} error={deed.at('name')} placeholder="acme-key" maxLength={100} className="font-mono" autoComplete="off" autoCapitalize="none" spellCheck={false} />
      <SelectField label={own.algorithm} value={algorithm} onValue={setAlgorithm} options={ALGORITHMS.map((each) => [each, each] as const)} />
      <TextField label={own.secret} hint={own.secretHint} type="password" value={secret} onValue={setSecret} error={deed.at('secret')} maxLength={1000} className="font-mono" autoComplete="off" />
      <ProblemNote problem={deed.problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={deed.busy}>{own.setKey}</Button>
      </div>
    </form>
  );
}
