// `postern ca`: the certificate of the gateway's private CA, to install in browsers and devices.
import { Fault } from '#base/fault.ts';
import { keyFingerprintOf } from '#model/fingerprint.ts';
import { parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { readProfile } from './profile.ts';
import { lookAtCertificate, parseGateway } from './trust.ts';

export const usage = `Usage: postern ca [https://GATEWAY] [--fingerprint]

Prints the certificate of the private CA (PEM), or the SHA-256 of its key, which join tokens carry. With an
address nobody has vouched for it yet: compare the fingerprint.

      --fingerprint   only the fingerprint of its key
      --data DIR      of the gateway whose data folder this is
`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { fingerprint: { type: 'boolean' } }, { min: 0, max: 1 });
  const profile = positionals[0] === undefined ? await readProfile(io.env, { data: values.data }) : null;
  const pem = profile?.caPem ?? (await readShownCa(positionals[0] ?? profile!.address, io.signal));
  const fingerprint = keyFingerprintOf(pem);
  io.stdout.write(values.fingerprint ? `${fingerprint}\n` : pem.endsWith('\n') ? pem : `${pem}\n`);
  if (!values.fingerprint) io.stderr.write(`SHA-256 of its key: ${fingerprint}\n`);
  return exitCodes.ok;
}

async function readShownCa(address: string, signal: AbortSignal): Promise<string> {
  const url = parseGateway(address);
  if (url.protocol !== 'https:') throw new Fault('bad-input', 'the CA is shown at the https address only');
  const { caPem } = await lookAtCertificate(url, signal, true);
  if (caPem === null) throw new Fault('protocol', `${url.host} shows no private CA: it is no gateway`);
  return caPem;
}
