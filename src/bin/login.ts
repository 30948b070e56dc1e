// `postern login`: a sign-in by one-time code that a person approves in the browser, or a token; kept in the profile.
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { openClient } from '#api/client.ts';
import type { Client } from '#api/client.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import { version } from '#base/about.ts';
import { parseCommand } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { readKeptProfile, writeProfile } from './profile.ts';
import { decideTrust, parseGateway } from './trust.ts';

export const usage = `Usage: postern login https://GATEWAY[:PORT] [OPTIONS]

Signs in by a code that you approve in the browser, and keeps the sign-in in ~/.config/postern/profile.json.

      --token-file FILE   use the access token in FILE instead ("-": standard input)
      --token TOKEN       the same on the command line, where others on this machine may see it
      --fingerprint HEX   accept the private CA with this key (SHA-256), without asking
      --ca FILE           trust this CA (PEM)
`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { token: { type: 'string' }, 'token-file': { type: 'string' }, fingerprint: { type: 'string' }, ca: { type: 'string' } }, { min: 0, max: 1 });
  const before = await readKeptProfile(io.env).catch(() => null);
  const text = positionals[0] ?? before?.address;
  if (text === undefined) throw usageFault('login takes the address of the gateway');
  const url = parseGateway(text);
  const known = before && URL.canParse(before.address) && new URL(before.address).origin === url.origin ? before.caPem : undefined;
  const caPem = await decideTrust(io, url, { ca: values.ca, fingerprint: values.fingerprint, known });
  const way = { address: url.origin, userAgent: `postern/${version}`, ...(caPem === undefined ? {} : { ca: caPem }) };
  let token = values.token ?? (values['token-file'] === undefined ? undefined : await readToken(io, values['token-file']));
  if (token === undefined) {
    using client = openClient(way);
    token = await signIn(io, client);
  }
  using client = openClient({ ...way, token });
  const me = await client.call('getMe', { signal: io.signal });
  const path = await writeProfile(io.env, { address: url.origin, token, caPem });
  io.stdout.write(`Signed in to ${url.origin} as ${me.person.login}. Kept in ${path}\n`);
  return exitCodes.ok;
}

async function readToken(io: CommandIo, file: string): Promise<string> {
  try {
    if (file !== '-') return (await readFile(file, 'utf8')).trim();
    const parts: string[] = [];
    for await (const part of io.stdin) parts.push(String(part));
    return parts.join('').trim();
  } catch (thrown) {
    throw new Fault('bad-input', `the token file ${file} cannot be read: ${reasonOf(thrown)}`);
  }
}

async function signIn(io: CommandIo, client: Client): Promise<string> {
  const login = await client.call('startCliLogin', { body: { client: `postern ${version} on ${hostname()}` }, signal: io.signal });
  io.stderr.write(`Open   ${login.address}\nand approve the code   ${login.code}\n\nWaiting …\n`);
  for (;;) {
    await pause(login.intervalMs, io.signal);
    const { state, secret } = await client.call('pollCliLogin', { body: { pollSecret: login.pollSecret }, signal: io.signal });
    if (state === 'refused') throw new Fault('forbidden', 'the sign-in was refused in the browser');
    if (state === 'approved' && secret !== null) return secret;
    if (Date.now() > login.expiresAt + login.intervalMs) throw new Fault('gone', 'nobody approved the code in time', { remedy: 'Run postern login again.' });
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(new Fault('closed', 'given up'));
    });
  });
}
