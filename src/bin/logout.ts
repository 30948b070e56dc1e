// `postern logout`: ends the sign-in at the gateway and forgets the profile here.
import { openClient } from '#api/client.ts';
import { isFault, reasonOf } from '#base/fault.ts';
import { parseCommand } from './arguments.ts';
import { exitCodes } from './io.ts';
import type { CommandIo } from './io.ts';
import { readKeptProfile, removeProfile } from './profile.ts';

export const usage = `Usage: postern logout

Ends the sign-in that postern login made, with what runs under it, and removes the profile. An access token
stays valid: it is ended with postern token revoke.
`;

export async function run(args: string[], io: CommandIo): Promise<number> {
  parseCommand(args, {}, { min: 0, max: 0 });
  const profile = await readKeptProfile(io.env);
  if (!profile) {
    io.stdout.write('Nobody is signed in here.\n');
    return exitCodes.ok;
  }
  // First here: even when the gateway cannot be reached, this machine forgets.
  await removeProfile(io.env);
  using client = openClient({ address: profile.address, token: profile.token, timeoutMs: 5_000, ...(profile.caPem === undefined ? {} : { ca: profile.caPem }) });
  try {
    const { signInId } = await client.call('getMe', { signal: io.signal });
    if (signInId !== null) await client.call('signOut', { signal: io.signal });
  } catch (thrown) {
    if (isFault(thrown, 'unauthenticated')) return exitCodes.ok;
    io.stderr.write(`postern logout: the profile is gone, but the gateway was not told: ${reasonOf(thrown)}\nThe sign-in can be ended in the console.\n`);
    return exitCodes.notReachable;
  }
  io.stdout.write(`Signed out of ${profile.address}.\n`);
  return exitCodes.ok;
}
