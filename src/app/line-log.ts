// A log of plain lines for programs that run in a terminal or under a service supervisor: `12:30:01 link.opened address=…`.
import { printable } from '#base/log.ts';
import type { Log, LogFields } from '#base/log.ts';

const levels = ['debug', 'info', 'warn', 'error'] as const;

export function buildLineLog(write: (line: string) => void, nowMs: () => number, least: (typeof levels)[number]): Log {
  const from = levels.indexOf(least);
  const at = (level: (typeof levels)[number]) => (event: string, fields: LogFields = {}) => {
    if (levels.indexOf(level) < from) return;
    const parts = Object.entries(fields)
      .filter(([, value]) => value !== undefined && value !== null && value !== '')
      .map(([name, value]) => {
        const text = printable(String(value), 400);
        return `${name}=${/[\s"]/.test(text) ? JSON.stringify(text) : text}`;
      });
    write(`${[new Date(nowMs()).toISOString(), level.padEnd(5), event, ...parts].join(' ')}\n`);
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
