// What a source is, as the device's owner writes it. One shape for each kind; `sources/*` carry them out.
import { parseListenAddress } from './source-address.ts';
import type { ListenAddress } from './source-address.ts';
import { limits } from '#base/limits.ts';
import { parseNetwork } from '#base/cidr.ts';
import type { Section } from './read-settings.ts';

export type LineEnd = 'any' | 'lf' | 'cr' | 'crlf' | 'nul';

/** How a stream of bytes is cut into records. `none`: it is not; the bytes go on as they come. */
export type Framing =
  | { readonly kind: 'lines'; readonly end: LineEnd; readonly keepEmpty: boolean }
  | { readonly kind: 'idle'; readonly idleMs: number }
  | { readonly kind: 'fixed'; readonly bytes: number }
  | { readonly kind: 'stx-etx' }
  | { readonly kind: 'none' };

export interface TcpListenSettings {
  readonly kind: 'tcp-listen';
  readonly listen: ListenAddress;
  /** Networks that may connect; empty: all. */
  readonly from: readonly string[];
  readonly clientsMax: number;
  /** A client that says nothing for so long is let go; 0: never. */
  readonly silenceMs: number;
  /** Each record begins with the sender's address and a blank. */
  readonly sourceAddress: boolean;
}

export interface LoginStep {
  /** Waited for, as it is; empty: nothing. */
  readonly expect: string;
  /** Sent then. Escapes \r \n \t are the JSON's. */
  readonly send: string;
  /** Instead of `send`: the first line of this file and CR. */
  readonly sendFile: string | null;
}

export interface TcpConnectSettings {
  readonly kind: 'tcp-connect';
  readonly address: ListenAddress;
  readonly login: readonly LoginStep[];
  readonly keepAliveMs: number;
  /** Dialled again when nothing came for so long; 0: never. */
  readonly silenceMs: number;
}

export interface SerialSettings {
  readonly kind: 'serial';
  readonly device: string;
  readonly speed: number;
  readonly bits: 5 | 6 | 7 | 8;
  readonly parity: 'none' | 'even' | 'odd';
  readonly stop: 1 | 2;
  readonly flow: 'none' | 'rts-cts' | 'xon-xoff';
}

export interface FileSettings {
  readonly kind: 'file';
  /** An absolute path; `*` and `?` in its last part. */
  readonly path: string;
  /** Where files begin that were there before the source was. */
  readonly from: 'start' | 'end';
}

export interface SyslogSettings {
  readonly kind: 'syslog';
  readonly listen: ListenAddress;
  readonly transport: 'udp' | 'tcp' | 'both';
  readonly from: readonly string[];
  readonly clientsMax: number;
  readonly sourceAddress: boolean;
}

export interface HttpPollSettings {
  readonly kind: 'http-poll';
  readonly url: string;
  readonly everyMs: number;
  readonly timeoutMs: number;
  readonly bytesMax: number;
  readonly body: 'whole' | 'lines';
  /** An answer with the bytes of the one before. */
  readonly unchanged: 'skip' | 'keep';
  readonly headers: Readonly<Record<string, string>>;
  /** A file with `NAME:PASSWORD`, for Basic. */
  readonly credentialsFile: string | null;
  readonly caFile: string | null;
  /** `sha256//BASE64` of the server's public key; when there are any, they alone count. */
  readonly pins: readonly string[];
}

export type SourceSettings = TcpListenSettings | TcpConnectSettings | SerialSettings | FileSettings | SyslogSettings | HttpPollSettings;

export const sourceKinds = ['tcp-listen', 'tcp-connect', 'serial', 'file', 'syslog', 'http-poll'] as const satisfies readonly SourceSettings['kind'][];

export const pinForm = /^sha256\/\/[A-Za-z0-9+/]{43}=$/;

/** Speeds that Linux knows by name. */
const speeds = [50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000, 2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000] as const;

const networks = (section: Section) => section.texts('from', { countMax: limits.networksPerListMax, check: (text) => (parseNetwork(text) === null ? `"${text}" is no address or network, such as 192.0.2.0/24` : null) });

const seconds = (section: Section, name: string, max: number, fallback: number) => section.integer(name, 0, max, fallback) * 1_000;

function address(section: Section, name: string): ListenAddress {
  const text = section.text(name, { means: 'an address and a port, such as 192.0.2.20:2300 or [2001:db8::7]:2300' });
  const found = parseListenAddress(text);
  if (found === null && text !== '') section.problem(name, `"${text}" is not an address and a port, such as 192.0.2.20:2300 or [2001:db8::7]:2300`);
  return found ?? { host: '', port: 0 };
}

function readLogin(section: Section, pathOf: (text: string) => string): readonly LoginStep[] {
  return section.sections('login', limits.feedLoginStepsMax).map((step) => {
    if (step.has('send') && step.has('sendFile')) step.problem('send', 'stands beside sendFile; one of the two is sent');
    const sendFile = step.text('sendFile', { fallback: '' });
    return { expect: step.text('expect', { fallback: '' }), send: step.text('send', { fallback: '' }), sendFile: sendFile === '' ? null : pathOf(sendFile) };
  });
}

function readHttpPoll(section: Section, pathOf: (text: string) => string): HttpPollSettings {
  const url = section.text('url', { means: 'an address that begins with http:// or https://' });
  if (url !== '' && !(/^https?:\/\//.test(url) && URL.canParse(url))) section.problem('url', `"${url}" is not an address that begins with http:// or https://`);
  else if (url !== '' && new URL(url).username !== '') section.problem('url', 'has a name or password in it; write NAME:PASSWORD into a file and name it in credentialsFile');
  const file = (name: string) => {
    const text = section.text(name, { fallback: '' });
    return text === '' ? null : pathOf(text);
  };
  const headers = section.pairs('headers', limits.feedPollHeadersMax);
  for (const [name, value] of Object.entries(headers)) {
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name) || /[^\t\x20-\x7e]/.test(value)) section.problem(`headers.${name}`, 'is no header field of printable characters');
  }
  const pins = section.texts('pins', { countMax: limits.feedPinsMax, check: (text) => (pinForm.test(text) ? null : 'is not sha256// and 44 characters of base64') });
  if (pins.length > 0 && url.startsWith('http:')) section.problem('pins', 'mean nothing without https');
  return {
    kind: 'http-poll',
    url,
    everyMs: section.integer('everySeconds', 1, 31 * 86_400, 60) * 1_000,
    timeoutMs: section.integer('timeoutSeconds', 1, 600, 30) * 1_000,
    bytesMax: section.integer('bytesMax', 1, limits.feedPollBytesMax, limits.feedRecordBytesMax),
    body: section.oneOf('body', ['whole', 'lines'] as const, 'whole'),
    unchanged: section.oneOf('unchanged', ['skip', 'keep'] as const, 'skip'),
    headers,
    credentialsFile: file('credentialsFile'),
    caFile: file('caFile'),
    pins,
  };
}

/** `pathOf` resolves paths against the folder of the settings' file. */
export function readSource(section: Section, pathOf: (text: string) => string): SourceSettings {
  const kind = section.oneOf('kind', sourceKinds);
  switch (kind) {
    case 'tcp-listen':
      return {
        kind,
        listen: address(section, 'listen'),
        from: networks(section),
        clientsMax: section.integer('clientsMax', 1, limits.feedClientsMax, 16),
        silenceMs: seconds(section, 'silenceSeconds', 31 * 86_400, 0),
        sourceAddress: section.flag('sourceAddress', false),
      };
    case 'tcp-connect':
      return { kind, address: address(section, 'address'), login: readLogin(section, pathOf), keepAliveMs: section.integer('keepAliveSeconds', 1, 7_200, 30) * 1_000, silenceMs: seconds(section, 'silenceSeconds', 31 * 86_400, 0) };
    case 'serial':
      return {
        kind,
        device: section.text('device', { means: 'the path of a serial port, such as /dev/ttyUSB0', matches: /^\/[^\0]*$/ }),
        speed: section.oneOf('speed', speeds, 9_600),
        bits: section.oneOf('bits', [5, 6, 7, 8] as const, 8),
        parity: section.oneOf('parity', ['none', 'even', 'odd'] as const, 'none'),
        stop: section.oneOf('stop', [1, 2] as const, 1),
        flow: section.oneOf('flow', ['none', 'rts-cts', 'xon-xoff'] as const, 'none'),
      };
    case 'file': {
      const path = section.text('path', { means: 'an absolute path, with * and ? in its last part alone', matches: /^\/(?:[^\0*?]*\/)?[^\0/]+$/ });
      return { kind, path, from: section.oneOf('from', ['start', 'end'] as const, 'start') };
    }
    case 'syslog':
      return {
        kind,
        listen: address(section, 'listen'),
        transport: section.oneOf('transport', ['udp', 'tcp', 'both'] as const, 'both'),
        from: networks(section),
        clientsMax: section.integer('clientsMax', 1, limits.feedClientsMax, 64),
        sourceAddress: section.flag('sourceAddress', false),
      };
    case 'http-poll':
      return readHttpPoll(section, pathOf);
  }
}

/** `lines`, `idle:MS`, `fixed:N`, `stx-etx`, with lineEnd and emptyLines beside it. */
export function readFraming(section: Section): Framing {
  const text = section.text('framing', { fallback: 'lines' });
  const end = section.oneOf('lineEnd', ['any', 'lf', 'cr', 'crlf', 'nul'] as const, 'any');
  const keepEmpty = section.oneOf('emptyLines', ['drop', 'keep'] as const, 'drop') === 'keep';
  if (text === 'lines') return { kind: 'lines', end, keepEmpty };
  if (section.has('lineEnd') || section.has('emptyLines')) section.problem('framing', 'is not "lines", so lineEnd and emptyLines mean nothing');
  if (text === 'stx-etx') return { kind: 'stx-etx' };
  const [, kind, digits = ''] = /^(idle|fixed):(\d{1,6})$/.exec(text) ?? [];
  const number = Number(digits);
  if (kind === 'idle' && number >= 10 && number <= 600_000) return { kind, idleMs: number };
  if (kind === 'fixed' && number >= 1 && number <= limits.feedRecordBytesMax) return { kind, bytes: number };
  section.problem('framing', `"${text}" is not known; one of "lines", "idle:MS" (10 to 600000), "fixed:BYTES" (1 to ${limits.feedRecordBytesMax}), "stx-etx"`);
  return { kind: 'none' };
}
