// Reads test/corpus/sip.md.
import { readFileSync } from 'node:fs';

export interface SipSample {
  readonly title: string;
  readonly bytes: Buffer;
  readonly expected: {
    readonly no?: true;
    readonly malformed?: string;
    readonly method?: string;
    readonly domain?: string | null;
    readonly user?: string | null;
    readonly fromUser?: string | null;
    readonly frames?: readonly string[];
    /** A message is begun and not whole at the end of the sample. */
    readonly held?: true;
    /** Status that a refusal can say; 0: it cannot be sent. */
    readonly refusal?: number;
  };
}

/** Each line with CRLF, unless a backslash ends it. */
function bytesOf(block: string): Buffer {
  const text = block
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => (/(?:^|[^\\])\\$/.test(line) ? line.slice(0, -1) : `${line}\r\n`))
    .join('');
  return Buffer.from(text.replace(/\\x([0-9a-f]{2})|\\\\/g, (_, hex: string | undefined) => (hex === undefined ? '\\' : String.fromCharCode(parseInt(hex, 16)))), 'latin1');
}

export function readSipCorpus(): SipSample[] {
  const text = readFileSync(new URL('../corpus/sip.md', import.meta.url), 'utf8');
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => ({
      title: section.slice(0, section.indexOf('\n')),
      bytes: bytesOf(/```sip\n([\s\S]*?)```/.exec(section)![1]!),
      expected: JSON.parse(/```json\n(.*)\n```/.exec(section)![1]!) as SipSample['expected'],
    }));
}
