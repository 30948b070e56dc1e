// Everything by typing: Ctrl-K or Cmd-K. A list box in a dialog; the focus stays in the text.
import { Dialog } from '@base-ui/react/dialog';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useDeferredValue, useEffect, useId, useRef, useState, type KeyboardEvent } from 'react';
import { call } from './api.ts';
import { meQuery, unassignedQuery } from './queries.ts';
import { openAddress } from './shut.ts';
import { signOut } from './sign-out.ts';
import { text } from './text.ts';
import { setTheme } from './theme.ts';
import { Dot, Kbd } from './ui/bits.tsx';
import { Icon, type IconName } from './ui/icons.tsx';

interface Entry {
  readonly key: string;
  readonly group: string;
  readonly label: string;
  readonly note?: string;
  readonly icon: IconName;
  readonly online?: boolean;
  readonly run: () => void;
  /** With Ctrl or Cmd held. */
  readonly runOther?: () => void;
}

interface Place {
  readonly to: '/devices' | '/sites' | '/applications' | '/data' | '/people' | '/audit' | '/front-door' | '/certificates' | '/configuration' | '/status' | '/account';
  readonly label: string;
  readonly icon: IconName;
}

const SHOWN_DEVICES = 8;

function useEntries(typed: string, places: readonly Place[]): Entry[] {
  const navigate = useNavigate();
  const { data: me } = useQuery(meQuery);
  const search = useDeferredValue(typed.trim());
  const devices = useQuery({ queryKey: ['devices-palette', search], queryFn: ({ signal }) => call('listDevices', { query: { ...(search ? { search } : {}), limit: SHOWN_DEVICES }, signal }), staleTime: 5_000, placeholderData: (before) => before });
  const fits = (label: string) => label.toLowerCase().includes(typed.trim().toLowerCase());
  const pages: Entry[] = [...places, { to: '/account' as const, label: text.nav.account, icon: 'account' as const }].map((place) => ({ key: place.to, group: text.palette.pages, label: place.label, icon: place.icon, run: () => void navigate({ to: place.to }) }));
  const code = /^\d{3}[ -]?\d{3}$/.test(search) ? search.replace(/\D/g, '') : null;
  const unassigned = useQuery({ ...unassignedQuery, enabled: code !== null && (me?.may.administerAnything ?? false) });
  const waiting = unassigned.data?.items.find((each) => each.code === code);
  // Also without an entry: the page says that nothing waits under it, and what to do.
  const codes: Entry[] = code === null || !me?.may.administerAnything ? [] : [{ key: `code-${code}`, group: text.palette.codes, label: text.palette.code(code), note: waiting ? `${waiting.application} · ${waiting.address}` : text.palette.codeUnknown, icon: 'printer', run: () => void navigate({ to: '/applications/sources', search: { code } }) }];
  const commands: (Entry | false | undefined)[] = [
    me?.may.joinDevices && { key: 'add', group: text.palette.commands, label: text.palette.addDevice, icon: 'plus', run: () => void navigate({ to: '/devices', search: { add: true } }) },
    me?.may.administerAnything && { key: 'invite', group: text.palette.commands, label: text.palette.invite, icon: 'people', run: () => void navigate({ to: '/people', search: { invite: true } }) },
    me?.may.administerGateway && { key: 'certificate', group: text.palette.commands, label: text.palette.addCertificate, icon: 'key', run: () => void navigate({ to: '/certificates/add' }) },
    { key: 'light', group: text.palette.commands, label: text.palette.light, icon: 'sun', run: () => setTheme('light') },
    { key: 'dark', group: text.palette.commands, label: text.palette.dark, icon: 'moon', run: () => setTheme('dark') },
    { key: 'system', group: text.palette.commands, label: text.palette.system, icon: 'system', run: () => setTheme('system') },
    { key: 'out', group: text.palette.commands, label: text.palette.signOut, icon: 'signOut', run: () => void signOut() },
  ];
  const found: Entry[] = (devices.data?.items ?? []).map((device) => ({
    key: device.id,
    group: text.palette.devices,
    label: device.name,
    note: device.label,
    icon: 'devices',
    online: device.online,
    run: () => void navigate({ to: '/devices/$device', params: { device: device.label } }),
    ...(openAddress(device) ? { runOther: () => void window.open(openAddress(device) ?? '', '_blank', 'noopener') } : {}),
  }));
  return [...codes, ...found, ...pages.filter((entry) => fits(entry.label)), ...commands.filter((entry): entry is Entry => Boolean(entry)).filter((entry) => fits(entry.label))];
}

export function Palette({ open, onClose, places }: { open: boolean; onClose: () => void; places: readonly Place[] }) {
  return (
    <Dialog.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-50 bg-shade transition-opacity duration-100 data-ending-style:opacity-0 data-starting-style:opacity-0" />
        <Dialog.Popup aria-label={text.palette.label} className="fixed inset-x-3 top-[8dvh] z-50 mx-auto flex max-h-[min(32rem,80dvh)] max-w-xl flex-col overflow-hidden rounded-2xl border border-line bg-surface shadow-3 outline-none sm:top-[14dvh]">
          <PaletteBody onClose={onClose} places={places} />
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function PaletteBody({ onClose, places }: { onClose: () => void; places: readonly Place[] }) {
  const [typed, setTyped] = useState('');
  const [at, setAt] = useState(0);
  const list = useRef<HTMLDivElement>(null);
  const base = useId();
  const entries = useEntries(typed, places);
  const chosen = Math.min(at, Math.max(0, entries.length - 1));
  useEffect(() => {
    void list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: 'nearest' });
  }, [chosen]);
  const choose = (entry: Entry | undefined, other: boolean) => {
    if (!entry) return;
    onClose();
    if (other && entry.runOther) entry.runOther();
    else entry.run();
  };
  const onKey = (event: KeyboardEvent) => {
    const move = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (move !== 0 && entries.length > 0) {
      event.preventDefault();
      setAt((chosen + move + entries.length) % entries.length);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      choose(entries[chosen], event.metaKey || event.ctrlKey);
    }
  };
  return (
    <>
      <div className="flex items-center gap-3 border-b border-line px-4">
        <Icon name="search" className="text-ink-3" />
        <input
          role="combobox"
          aria-expanded="true"
          aria-controls={`${base}-list`}
          aria-activedescendant={entries[chosen] ? `${base}-${chosen}` : undefined}
          aria-label={text.palette.placeholder}
          value={typed}
          onChange={(event) => {
            setTyped(event.target.value);
            setAt(0);
          }}
          onKeyDown={onKey}
          placeholder={text.palette.placeholder}
          autoComplete="off"
          spellCheck={false}
          className="h-13 min-w-0 flex-1 bg-transparent text-base outline-none"
        />
        <Kbd>Esc</Kbd>
      </div>
      <div ref={list} id={`${base}-list`} role="listbox" aria-label={text.palette.label} className="flex-1 overflow-y-auto p-2">
        {entries.length === 0 ? <p className="px-3 py-8 text-center text-sm text-ink-2">{text.palette.nothing(typed)}</p> : null}
        {entries.map((entry, index) => (
          <div key={entry.key}>
            {entries[index - 1]?.group === entry.group ? null : <p className="px-3 pt-2 pb-1 text-xs font-medium text-ink-3">{entry.group}</p>}
            <div
              id={`${base}-${index}`}
              role="option"
              tabIndex={-1}
              aria-selected={index === chosen}
              onPointerMove={() => setAt(index)}
              onClick={(event) => choose(entry, event.metaKey || event.ctrlKey)}
              onKeyDown={onKey}
              className="flex cursor-pointer items-center gap-3 rounded-lg px-3 py-2 text-sm aria-selected:bg-accent-soft aria-selected:text-accent-ink"
            >
              {entry.online === undefined ? <Icon name={entry.icon} size={17} className="text-ink-3" /> : <span className="flex w-[17px] justify-center"><Dot mood={entry.online ? 'ok' : 'neutral'} label={entry.online ? text.devices.online : text.devices.offline} /></span>}
              <span className="min-w-0 flex-1 truncate font-medium">{entry.label}</span>
              {entry.note ? <span className="max-w-2/5 truncate font-mono text-xs text-ink-3">{entry.note}</span> : null}
            </div>
          </div>
        ))}
      </div>
      <footer className="hidden items-center gap-4 border-t border-line px-4 py-2 text-xs text-ink-3 sm:flex">
        <span><Kbd>↑</Kbd> <Kbd>↓</Kbd> {text.palette.move}</span>
        <span><Kbd>Enter</Kbd> {text.palette.choose}</span>
        <span><Kbd>Ctrl Enter</Kbd> {text.palette.openDevice}</span>
      </footer>
    </>
  );
}
