// The line with which an SSH client begins, when it begins (RFC 4253 §4.2). It names a program and nobody: routes can tell SSH by it, no more.
import { latin1Of } from '#base/bytes.ts';
import { limits } from '#base/limits.ts';
import { malformed, more, no } from './sniff.ts';
import type { Unsettled } from './sniff.ts';

export interface SshFacts {
  readonly kind: 'ssh';
  /** softwareversion, without the comments behind it. */
  readonly software: string;
}

const prefix = Buffer.from('SSH-');

/** Looks at the first bytes of a connection. Never throws, keeps nothing. */
export function sniffSsh(bytes: Buffer): Unsettled | SshFacts {
  const start = bytes.subarray(0, prefix.length);
  if (!prefix.subarray(0, start.length).equals(start)) return no;
  const window = bytes.subarray(0, limits.sshBannerBytesMax);
  const end = window.indexOf(0x0a);
  const line = latin1Of(window, 0, end < 0 ? window.length : end);
  // A CR is the line's end only when a LF follows; as the last byte so far, it may still be one.
  const isBent = /[^\x20-\x7e]/.test(line.endsWith('\r') ? line.slice(0, -1) : line);
  if (isBent) return malformed('an SSH identification with other characters than printable ones');
  if (end < 0) return window.length < limits.sshBannerBytesMax ? more : malformed(`an SSH identification of more than ${limits.sshBannerBytesMax} bytes`);
  const parts = /^SSH-(?:2\.0|1\.99)-([^ ]+)(?: .*)?$/.exec(line.trimEnd());
  return parts ? { kind: 'ssh', software: parts[1]! } : malformed('an SSH identification of another version, or without a software');
}
