// Short news about what was just done; failures say what to do and stay until they are closed.
import { Toast } from '@base-ui/react/toast';
import { problemOf } from '../api.ts';
import { text } from '../text.ts';
import { Icon } from './icons.tsx';

const toasts = Toast.createToastManager();

export function say(title: string, description?: string): void {
  toasts.add({ title, type: 'ok', timeout: 4_000, ...(description ? { description } : {}) });
}

export function sayProblem(thrown: unknown): void {
  const problem = problemOf(thrown);
  const more = [problem.cause, problem.remedy, problem.requestId ? `${text.problem.requestId} ${problem.requestId}` : ''].filter(Boolean).join(' ');
  toasts.add({ title: problem.title, type: 'bad', priority: 'high', timeout: 12_000, ...(more ? { description: more } : {}) });
}

export function Toasts() {
  return (
    <Toast.Provider toastManager={toasts} limit={4}>
      <Toast.Portal>
        <Toast.Viewport className="fixed right-4 bottom-[max(1rem,calc(env(safe-area-inset-bottom)+4.5rem))] z-60 flex w-[min(24rem,calc(100vw-2rem))] flex-col gap-2 lg:bottom-5">
          <ToastList />
        </Toast.Viewport>
      </Toast.Portal>
    </Toast.Provider>
  );
}

function ToastList() {
  const { toasts: shown } = Toast.useToastManager();
  return shown.map((toast) => (
    <Toast.Root key={toast.id} toast={toast} className="rounded-xl border border-line bg-surface shadow-2 transition-[transform,opacity] duration-200 data-ending-style:translate-x-4 data-ending-style:opacity-0 data-limited:hidden data-starting-style:translate-y-3 data-starting-style:opacity-0">
      <Toast.Content className="flex items-start gap-3 px-4 py-3">
        <Icon name={toast.type === 'bad' ? 'warning' : 'ok'} className={`mt-px ${toast.type === 'bad' ? 'text-bad-ink' : 'text-ok-ink'}`} />
        <div className="min-w-0 flex-1">
          <Toast.Title className="text-sm font-semibold" />
          <Toast.Description className="mt-0.5 text-sm break-words text-ink-2" />
        </div>
        <Toast.Close aria-label={text.common.close} className="-mt-0.5 -mr-1.5 rounded-md p-1 text-ink-3 hover:bg-sunken hover:text-ink">
          <Icon name="close" size={14} />
        </Toast.Close>
      </Toast.Content>
    </Toast.Root>
  ));
}
