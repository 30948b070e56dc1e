// The real Log: pino, one JSON line an event to a stream; for a person at a terminal the same lines in plain words.
import { pino } from 'pino';
import { printable, type Log, type LogFields } from '#base/log.ts';

export interface LogOptions {
  readonly stream: NodeJS.WritableStream;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly isTerminal: boolean;
}

const LEVELS: Readonly<Record<number, string>> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' };

/** `12:03:07 warn  conn.refused  from=192.0.2.7 why="…"` */
function plainLine(json: string): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as { level: number; time: string; msg: string } & Record<string, unknown>;
  const shown = Object.entries(fields).map(([name, value]) => {
    // A terminal acts on what a peer may have written into a name.
    const text = printable(typeof value === 'string' ? value : JSON.stringify(value), 4_000);
    return `${name}=${/[\s"]/.test(text) ? JSON.stringify(text) : text}`;
  });
  return `${time.slice(11, 19)} ${(LEVELS[level] ?? '').padEnd(5)} ${msg}${shown.length > 0 ? `  ${shown.join(' ')}` : ''}\n`;
}

export function buildLog(options: LogOptions): Log {
  const destination = { write: (line: string) => void options.stream.write(options.isTerminal ? plainLine(line) : line) };
  const logger = pino({ level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
  const at =
    (level: 'debug' | 'info' | 'warn' | 'error') =>
    (event: string, fields?: LogFields): void =>
      logger[level](fields ?? {}, event);
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
