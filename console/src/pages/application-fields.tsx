// The part of a route's form that is about applications: servers that know devices by their address.
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { Protocol } from '../config-document.ts';
import { configQuery, secretsQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Callout } from '../ui/bits.tsx';
import { Button, IconButton } from '../ui/button.tsx';
import { Check, FormPart, Radios } from '../ui/choices.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { hearsVirtual, newCallback, tellsFor, type ApplicationDraft, type CallbackDraft, type Require, type Told } from './application-draft.ts';

const words = text.places.application;
const portOnly = (value: string) => value.replace(/\D/g, '').slice(0, 5);
const ADDRESSES: readonly Told[] = ['own', 'virtual'];
const REQUIRES: readonly Require[] = ['verified', 'address', 'any'];

interface Props {
  draft: ApplicationDraft;
  protocol: Protocol;
  onDraft: (draft: ApplicationDraft) => void;
  /** Problems by path in the route. */
  at: (field: string) => string | undefined;
}

export function ApplicationFields({ draft, protocol, onDraft, at }: Props) {
  const set = (part: Partial<ApplicationDraft>) => onDraft({ ...draft, ...part });
  const tells = tellsFor(protocol);
  return (
    <FormPart title={words.title} about={words.about}>
      <Check label={words.is} hint={at('application') ? <span role="alert" className="text-bad-ink">{at('application')}</span> : words.isHint} checked={draft.is} onChecked={(is) => set({ is, ...(tells.includes(draft.tell) ? {} : { tell: tells[0]! }) })} />
      {draft.is ? (
        <>
          <Radios label={words.tell} error={at('application.tell')} value={draft.tell} onValue={(tell) => set({ tell })} options={tells.map((each) => [each, words.tells[each], words.tellHints[each]] as const)} />
          {draft.tell === 'virtual' ? null : <Radios label={words.address} error={at('application.address')} value={draft.address} onValue={(address) => set({ address })} options={ADDRESSES.map((each) => [each, words.addresses[each], words.addressHints[each]] as const)} />}
          {hearsVirtual(draft) ? <NeedsPool /> : null}
          <Radios label={words.require} error={at('application.require')} value={draft.require} onValue={(require) => set({ require })} options={REQUIRES.map((each) => [each, words.requires[each], words.requireHints[each]] as const)} />
          <Check label={words.assigned} hint={at('application.assigned') ?? words.assignedHint} checked={draft.assigned} onChecked={(assigned) => set({ assigned })} />
          {hearsVirtual(draft) ? <Callbacks callbacks={draft.callbacks} onCallbacks={(callbacks) => set({ callbacks })} at={at} /> : null}
          <Session draft={draft} isHttp={protocol === 'http'} set={set} at={at} />
          {protocol === 'http' ? <Signed value={draft.signed} onValue={(signed) => set({ signed })} error={at('application.signed')} /> : null}
        </>
      ) : null}
    </FormPart>
  );
}

function NeedsPool() {
  const { data } = useQuery(configQuery);
  if (!data || data.config.addressPool) return null;
  return (
    <Callout mood="warn" icon="warning" title={text.places.pool.empty} action={<Link to="/applications/addresses" target="_blank" className="text-sm font-medium whitespace-nowrap text-accent-ink hover:underline">{text.places.pool.setUp}</Link>}>
      {words.poolFirst}
    </Callout>
  );
}

function Callbacks({ callbacks, onCallbacks, at }: { callbacks: readonly CallbackDraft[]; onCallbacks: (callbacks: readonly CallbackDraft[]) => void; at: Props['at'] }) {
  const change = (key: number, part: Partial<CallbackDraft>) => onCallbacks(callbacks.map((each) => (each.key === key ? { ...each, ...part } : each)));
  const whole = at('application.callbacks');
  return (
    <fieldset className="flex min-w-0 flex-col gap-3">
      <legend className="mb-0.5 text-sm font-medium">{words.callbacks}</legend>
      <p className={`text-sm ${whole ? 'text-bad-ink' : 'text-ink-2'}`} role={whole ? 'alert' : undefined}>{whole ?? words.callbacksAbout}</p>
      {callbacks.map((each, i) => (
        <div key={each.key} className="grid grid-cols-[5.5rem_1fr_1fr_auto] items-start gap-3 rounded-xl bg-sunken p-3">
          <SelectField label={words.transport} value={each.transport} onValue={(transport) => change(each.key, { transport: transport === 'udp' ? 'udp' : 'tcp' })} options={[['tcp', 'TCP'], ['udp', 'UDP']]} />
          <TextField label={words.port} value={each.port} onValue={(port) => change(each.key, { port: portOnly(port) })} error={at(`application.callbacks[${i}].port`) ?? at(`application.callbacks[${i}]`)} inputMode="numeric" autoComplete="off" className="num" />
          <TextField label={words.to} hint={words.toHint} value={each.to} onValue={(to) => change(each.key, { to: portOnly(to) })} error={at(`application.callbacks[${i}].to`)} inputMode="numeric" autoComplete="off" className="num" />
          <IconButton icon="trash" size="sm" label={words.removeCallback(each.port)} onClick={() => onCallbacks(callbacks.filter((other) => other.key !== each.key))} className="mt-7" />
        </div>
      ))}
      <div><Button size="sm" icon="plus" onClick={() => onCallbacks([...callbacks, newCallback()])}>{words.addCallback}</Button></div>
    </fieldset>
  );
}

function Session({ draft, isHttp, set, at }: { draft: ApplicationDraft; isHttp: boolean; set: (part: Partial<ApplicationDraft>) => void; at: Props['at'] }) {
  const whole = at('application.session');
  return (
    <fieldset className="flex min-w-0 flex-col gap-3">
      <legend className="mb-0.5 text-sm font-medium">{words.session}</legend>
      <p className={`text-sm ${whole ? 'text-bad-ink' : 'text-ink-2'}`} role={whole ? 'alert' : undefined}>{whole ?? words.sessionAbout}</p>
      {isHttp ? <Check label={words.jar} hint={at('application.session.jar') ?? words.jarHint} checked={draft.jar} onChecked={(jar) => set({ jar })} /> : null}
      {isHttp ? <Check label={words.urlPrefix} hint={at('application.session.urlPrefix') ?? words.urlPrefixHint} checked={draft.urlPrefix} onChecked={(urlPrefix) => set({ urlPrefix })} /> : null}
      <div className="grid items-start gap-4 sm:grid-cols-2">
        <TextField label={words.idle} error={at('application.session.idleMinutes')} value={draft.idle} onValue={(idle) => set({ idle })} inputMode="decimal" autoComplete="off" className="num" placeholder="30" />
        <TextField label={words.absolute} error={at('application.session.absoluteHours')} value={draft.absolute} onValue={(absolute) => set({ absolute })} inputMode="decimal" autoComplete="off" className="num" placeholder="12" />
      </div>
    </fieldset>
  );
}

function Signed({ value, onValue, error }: { value: string; onValue: (value: string) => void; error: string | undefined }) {
  const { data } = useQuery(secretsQuery);
  const names = [...new Set([...(data?.items.map((each) => each.name) ?? []), ...(data?.missing ?? []), ...(value ? [value] : [])])];
  return <SelectField label={words.signed} hint={error ? <span role="alert" className="text-bad-ink">{error}</span> : words.signedHint} value={value} onValue={onValue} options={[['', words.ownKey], ...names.map((each) => [each, words.secret(each)] as const)]} />;
}
