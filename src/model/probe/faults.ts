// What a device, its credentials or the agent's policy refused (docs/wire/probe.md §5), as a Fault: the agent makes one, the gateway's side makes it again of the
// answer. The page's code is in `detail.probe`, because the house has fewer codes.
import { Fault, isFault } from '#base/fault.ts';
import type { FaultCode } from '#base/fault.ts';
import type { ProbeFault, ProbeFaultCode } from './asking.ts';

const faultCodes: Readonly<Record<ProbeFaultCode, FaultCode>> = {
  policy: 'forbidden',
  off: 'unreachable',
  silent: 'timeout',
  unreachable: 'unreachable',
  credentials: 'unauthenticated',
  'unknown-user': 'unauthenticated',
  'wrong-key': 'unauthenticated',
  'wrong-privacy': 'unauthenticated',
  'security-level': 'unauthenticated',
  'not-in-time': 'unauthenticated',
  'no-access': 'forbidden',
  damaged: 'protocol',
  tls: 'protocol',
  closed: 'closed',
  timeout: 'timeout',
  'too-large': 'too-large',
  'bad-input': 'bad-input',
  unsupported: 'unsupported',
  busy: 'busy',
  internal: 'internal',
};

export const isProbeFaultCode = (code: unknown): code is ProbeFaultCode => typeof code === 'string' && Object.hasOwn(faultCodes, code);

export function faultOfProbe(probe: ProbeFault): Fault {
  return new Fault(faultCodes[probe.code], probe.message, { remedy: probe.remedy, detail: { probe } });
}

/** null: the way to the agent failed, or it is no Fault. */
export function probeFaultOf(thrown: unknown): ProbeFault | null {
  if (!isFault(thrown)) return null;
  const probe = thrown.detail['probe'];
  return typeof probe === 'object' && probe !== null && 'code' in probe && isProbeFaultCode(probe.code) ? (probe as ProbeFault) : null;
}
