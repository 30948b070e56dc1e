// What rooms write to the log through. The real one (pino) is made in app.

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  /** `event` is past tense with a dot: `conn.refused`. Fields hold names, sizes and verdicts, never bodies or secrets. */
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
}

export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** Peer data for a log line: control characters escaped, cut to a length. */
export function printable(text: string, charsMax = 200): string {
  const cut = text.length > charsMax ? `${text.slice(0, charsMax)}…` : text;
  // eslint-disable-next-line no-control-regex
  return cut.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
