// What lies above the page: dialogs, the question before something that cannot be undone, menus.
import { Dialog as BaseDialog } from '@base-ui/react/dialog';
import { Menu as BaseMenu } from '@base-ui/react/menu';
import { useState, type ReactNode } from 'react';
import { text } from '../text.ts';
import { Button, IconButton, type Tone } from './button.tsx';
import { TextField } from './field.tsx';
import { Icon, type IconName } from './icons.tsx';
import { ProblemNote } from './problem.tsx';

interface DialogProps {
  open: boolean;
  onClose: () => void;
  title: string;
  about?: ReactNode;
  children: ReactNode;
  wide?: boolean;
  /** A click beside it does not close it: something typed would be lost. */
  sticky?: boolean;
  /** When it is gone from the screen: time to forget what it showed. */
  onClosed?: () => void;
}

export function Dialog({ open, onClose, title, about, children, wide = false, sticky = false, onClosed }: DialogProps) {
  return (
    <BaseDialog.Root open={open} onOpenChange={(next) => !next && onClose()} onOpenChangeComplete={(next) => !next && onClosed?.()} disablePointerDismissal={sticky}>
      <BaseDialog.Portal>
        <BaseDialog.Backdrop className="fixed inset-0 z-40 bg-shade transition-opacity duration-150 data-ending-style:opacity-0 data-starting-style:opacity-0" />
        <BaseDialog.Viewport className="fixed inset-0 z-40 flex items-end justify-center overflow-hidden sm:items-center sm:p-6">
          <BaseDialog.Popup
            className={`flex max-h-[92dvh] w-full flex-col rounded-t-2xl border border-line bg-surface shadow-3 transition-[transform,opacity] duration-150 outline-none data-ending-style:translate-y-3 data-ending-style:opacity-0 data-starting-style:translate-y-3 data-starting-style:opacity-0 sm:max-h-[86dvh] sm:rounded-2xl ${wide ? 'sm:max-w-2xl' : 'sm:max-w-lg'}`}
          >
            <header className="flex items-start gap-3 px-5 pt-5 pb-3 sm:px-6">
              <div className="min-w-0 flex-1">
                <BaseDialog.Title className="text-lg font-semibold">{title}</BaseDialog.Title>
                {about ? <BaseDialog.Description className="mt-0.5 text-sm text-ink-2">{about}</BaseDialog.Description> : null}
              </div>
              <BaseDialog.Close render={<IconButton icon="close" label={text.common.close} size="sm" className="-mt-1 -mr-2" />} />
            </header>
            <div className="overflow-y-auto px-5 pt-1 pb-5 sm:px-6 sm:pb-6">{children}</div>
          </BaseDialog.Popup>
        </BaseDialog.Viewport>
      </BaseDialog.Portal>
    </BaseDialog.Root>
  );
}

interface ConfirmProps {
  open: boolean;
  onClose: () => void;
  title: string;
  about: ReactNode;
  action: string;
  tone?: Tone;
  /** What has to be typed first; for what cannot be undone. */
  typed?: string;
  run: () => Promise<unknown>;
}

export function Confirm({ open, onClose, ...rest }: ConfirmProps) {
  return (
    <Dialog open={open} onClose={onClose} title={rest.title}>
      <ConfirmBody {...rest} onClose={onClose} />
    </Dialog>
  );
}

function ConfirmBody({ onClose, about, action, tone = 'danger', typed, run }: Omit<ConfirmProps, 'open' | 'title'>) {
  const [entered, setEntered] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const submit = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await run();
      onClose();
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  return (
    <form
      className="flex flex-col gap-4"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <div className="text-ink-2">{about}</div>
      {typed === undefined ? null : <TextField label={text.common.typeToConfirm(typed)} value={entered} onValue={setEntered} autoComplete="off" autoCapitalize="none" spellCheck={false} />}
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone={tone} busy={busy} disabled={typed !== undefined && entered.trim() !== typed}>
          {action}
        </Button>
      </div>
    </form>
  );
}

export interface MenuEntry {
  label: string;
  icon?: IconName;
  danger?: boolean;
  run: () => void;
}

export function ActionMenu({ label, entries, trigger }: { label: string; entries: readonly (MenuEntry | null)[]; trigger?: ReactNode }) {
  return (
    <BaseMenu.Root>
      <BaseMenu.Trigger aria-label={label} title={label} className="inline-flex size-8 items-center justify-center rounded-lg text-ink-2 hover:bg-sunken hover:text-ink data-popup-open:bg-sunken">
        {trigger ?? <Icon name="more" />}
      </BaseMenu.Trigger>
      <BaseMenu.Portal>
        <BaseMenu.Positioner align="end" sideOffset={4} className="z-50">
          <BaseMenu.Popup className="min-w-44 rounded-xl border border-line bg-surface p-1 shadow-2 outline-none">
            {entries.map((entry) =>
              entry ? (
                <BaseMenu.Item key={entry.label} onClick={entry.run} className={`flex cursor-pointer items-center gap-2.5 rounded-lg px-2.5 py-1.5 text-sm outline-none data-highlighted:bg-sunken ${entry.danger ? 'text-bad-ink' : 'text-ink'}`}>
                  {entry.icon ? <Icon name={entry.icon} size={16} /> : null}
                  {entry.label}
                </BaseMenu.Item>
              ) : (
                <BaseMenu.Separator key="line" className="mx-1 my-1 h-px bg-line" />
              ),
            )}
          </BaseMenu.Popup>
        </BaseMenu.Positioner>
      </BaseMenu.Portal>
    </BaseMenu.Root>
  );
}
