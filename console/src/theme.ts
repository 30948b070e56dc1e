// Dark, light, or what the system says. The first paint is decided by public/theme.js with the same key.
import { useSyncExternalStore } from 'react';

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'postern.theme';
const systemDark = matchMedia('(prefers-color-scheme: dark)');
const watchers = new Set<() => void>();

function read(): Theme {
  try {
    const stored = localStorage.getItem(KEY);
    return stored === 'light' || stored === 'dark' ? stored : 'system';
  } catch {
    return 'system';
  }
}

let current = read();

function show(): void {
  const dark = current === 'dark' || (current === 'system' && systemDark.matches);
  document.documentElement.dataset['theme'] = dark ? 'dark' : 'light';
  for (const watcher of watchers) watcher();
}

systemDark.addEventListener('change', show);
// Another tab changed it.
addEventListener('storage', (event) => {
  if (event.key !== KEY) return;
  current = read();
  show();
});

export function setTheme(theme: Theme): void {
  current = theme;
  try {
    if (theme === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Storage is switched off: the choice lasts as long as the page.
  }
  show();
}

export function useTheme(): Theme {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => current,
  );
}
