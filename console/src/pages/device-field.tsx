// A device, named by typing: what fits is offered, and whatever the gateway understands may be typed.
import type { DeviceView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useDeferredValue, useId, type ReactNode } from 'react';
import { call } from '../api.ts';
import { Field, inputClass } from '../ui/field.tsx';

const SHOWN = 20;

interface Props {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  value: string;
  onValue: (value: string) => void;
}

export function DeviceField({ label, hint, error, value, onValue }: Props) {
  const list = useId();
  const search = useDeferredValue(value.trim());
  const devices = useQuery({ queryKey: ['devices-field', search], queryFn: ({ signal }) => call('listDevices', { query: { ...(search ? { search } : {}), limit: SHOWN }, signal }), staleTime: 5_000, placeholderData: (before) => before });
  return (
    <Field label={label} hint={hint} error={error}>
      {({ id, describedBy, invalid }) => (
        <>
          <input id={id} list={list} value={value} onChange={(event) => onValue(event.target.value)} aria-describedby={describedBy} aria-invalid={invalid || undefined} maxLength={200} autoComplete="off" autoCapitalize="none" spellCheck={false} className={inputClass} />
          <datalist id={list}>
            {devices.data?.items.map((device) => <option key={device.id} value={device.label}>{`${device.name}${placeText(device)}`}</option>)}
          </datalist>
        </>
      )}
    </Field>
  );
}

const placeText = ({ siteName, host, agentId }: DeviceView) => (agentId === null ? ` (${siteName})` : ` (${siteName}, ${host})`);
