// Who may do what, row by row: an action, and on what.
import type { Grant, RightView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useId, useState } from 'react';
import { call } from '../api.ts';
import { customersQuery, meQuery, sitesQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Badge } from '../ui/bits.tsx';
import { Button, IconButton } from '../ui/button.tsx';
import { inputClass, Select } from '../ui/field.tsx';

export interface RightDraft {
  readonly key: number;
  readonly action: Grant['action'];
  readonly scopeKind: Grant['scopeKind'];
  readonly scopeId: string | null;
  readonly scopeName: string;
}

let lastKey = 0;
export function rightDraft(right?: RightView): RightDraft {
  lastKey += 1;
  if (!right) return { key: lastKey, action: 'open', scopeKind: 'device', scopeId: null, scopeName: '' };
  return { key: lastKey, action: right.action, scopeKind: right.scopeKind, scopeId: right.scopeId, scopeName: right.scopeName };
}

export function rightsProblem(rights: readonly RightDraft[], needed: boolean): string | null {
  if (needed && rights.length === 0) return text.people.rightNeeded;
  return rights.some((right) => right.scopeKind !== 'gateway' && right.scopeId === null) ? text.people.deviceUnknown : null;
}

export function grantsOf(rights: readonly RightDraft[]): Grant[] {
  return rights.map(({ action, scopeKind, scopeId }) => ({ action, scopeKind, scopeId: scopeKind === 'gateway' ? null : scopeId }));
}

const ACTIONS = ['see', 'open', 'administer'] as const;

export function RightsEditor({ rights, onRights, problem }: { rights: readonly RightDraft[]; onRights: (rights: readonly RightDraft[]) => void; problem: string | null }) {
  const { data: me } = useQuery(meQuery);
  const sites = useQuery(sitesQuery).data?.items ?? [];
  const customers = useQuery(customersQuery).data?.items ?? [];
  const change = (key: number, part: Partial<RightDraft>) => onRights(rights.map((right) => (right.key === key ? { ...right, ...part } : right)));
  const kinds = (used: Grant['scopeKind']) =>
    (['gateway', 'customer', 'site', 'device'] as const).filter((kind) => kind === used || kind === 'device' || (kind === 'gateway' && me?.may.administerGateway) || (kind === 'customer' && me?.severalCustomers) || (kind === 'site' && (sites.length > 1 || !me?.may.administerGateway)));
  const firstOf = (kind: Grant['scopeKind']) => (kind === 'site' ? sites[0] : kind === 'customer' ? customers[0] : undefined);
  return (
    <fieldset className="flex flex-col gap-2">
      <legend className="sr-only">{text.people.rights}</legend>
      {rights.length === 0 ? <p className="text-sm text-ink-2">{text.people.noRights}</p> : null}
      {rights.map((right) => (
        <div key={right.key} className="grid grid-cols-[1fr_1fr_2rem] items-center gap-2 sm:grid-cols-[9.5rem_8.5rem_1fr_2rem]">
          <Select aria-label={text.people.may} value={right.action} onValue={(value) => change(right.key, { action: ACTIONS.find((action) => action === value) ?? 'see' })} options={ACTIONS.map((action) => [action, text.actions[action]] as const)} />
          <Select
            aria-label={text.people.on}
            value={right.scopeKind}
            onValue={(value) => {
              const kind = kinds(right.scopeKind).find((each) => each === value) ?? 'device';
              change(right.key, { scopeKind: kind, scopeId: firstOf(kind)?.id ?? null, scopeName: firstOf(kind)?.name ?? '' });
            }}
            options={kinds(right.scopeKind).map((kind) => [kind, text.scope[kind]] as const)}
          />
          <IconButton icon="trash" size="sm" label={text.people.removeRight} className="sm:order-last" onClick={() => onRights(rights.filter((each) => each.key !== right.key))} />
          <div className="col-span-3 min-w-0 sm:col-span-1">
            {right.scopeKind === 'gateway' ? (
              <span className="text-sm text-ink-3">{text.scope.gatewayNote}</span>
            ) : right.scopeKind === 'device' ? (
              <DevicePicker right={right} onPick={(scopeId, scopeName) => change(right.key, { scopeId, scopeName })} />
            ) : (
              <Select aria-label={text.people.which} value={right.scopeId ?? ''} onValue={(id) => change(right.key, { scopeId: id })} options={(right.scopeKind === 'site' ? sites : customers).map((each) => [each.id, each.name] as const)} className="w-full" />
            )}
          </div>
        </div>
      ))}
      {problem ? <p role="alert" className="text-sm text-bad-ink">{problem}</p> : null}
      <div>
        <Button size="sm" icon="plus" onClick={() => onRights([...rights, rightDraft()])}>
          {text.people.addRight}
        </Button>
      </div>
    </fieldset>
  );
}

function DevicePicker({ right, onPick }: { right: RightDraft; onPick: (id: string | null, name: string) => void }) {
  const list = useId();
  const [typed, setTyped] = useState(right.scopeName);
  const found = useQuery({ queryKey: ['devices-pick', typed], queryFn: ({ signal }) => call('listDevices', { query: { ...(typed ? { search: typed } : {}), limit: 20 }, signal }), staleTime: 10_000, placeholderData: (before) => before });
  const take = (value: string) => {
    setTyped(value);
    const device = found.data?.items.find((each) => each.label === value || each.name === value);
    onPick(device?.id ?? null, value);
  };
  return (
    <>
      <input aria-label={text.people.which} list={list} value={typed} onChange={(event) => take(event.target.value)} placeholder={text.people.pickDevice} autoComplete="off" spellCheck={false} className={inputClass} />
      <datalist id={list}>
        {(found.data?.items ?? []).map((device) => (
          <option key={device.id} value={device.label}>
            {device.name}
          </option>
        ))}
      </datalist>
    </>
  );
}

/** Rights in words, as chips. */
export function RightChips({ rights }: { rights: readonly RightView[] }) {
  return (
    <span className="flex flex-wrap gap-1.5">
      {rights.map((right) => (
        <Badge key={`${right.action} ${right.scopeKind} ${right.scopeId}`} mood={right.action === 'administer' ? 'accent' : 'neutral'}>
          {text.actions[right.action]}: {right.scopeKind === 'gateway' ? text.scope.gatewayLong : text.scope.of(text.scope[right.scopeKind].toLowerCase(), right.scopeName)}
        </Badge>
      ))}
    </span>
  );
}
