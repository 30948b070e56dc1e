// Why a question had no answer, in parts that a page can show: which question, from which address, through which agent, and what to do.
import { isFault, reasonOf } from '#base/fault.ts';
import type { ProbeFailure } from '../place-rows.ts';
import type { ProbeFault, ProbeFaultCode } from './asking.ts';
import { probeFaultOf } from './faults.ts';

export interface Asked {
  /** `snmp 1.3.6.1.2.1.1.2.0`, `ipp printer-device-id` … */
  readonly question: string;
  readonly address: string;
  /** The agent's name. */
  readonly agent: string;
}

/** One word where a person does the same about it; the message tells them apart. */
const codes: Partial<Record<ProbeFaultCode, string>> = {
  'unknown-user': 'credentials', 'wrong-key': 'credentials', 'wrong-privacy': 'credentials', 'security-level': 'credentials', 'no-access': 'credentials', 'not-in-time': 'credentials',
};

export function failureOf(fault: ProbeFault, asked: Asked): ProbeFailure {
  return { code: codes[fault.code] ?? fault.code, ...asked, from: fault.from, message: fault.message, remedy: fault.remedy };
}

/** From whatever an `Asking` rejected with. A Fault without the agent's own words came from the way to the agent. */
export function failureOfThrown(thrown: unknown, asked: Asked): ProbeFailure {
  if (!isFault(thrown)) throw thrown;
  const probe = probeFaultOf(thrown);
  if (probe !== null) return failureOf(probe, asked);
  const lost = thrown.code === 'offline' || thrown.code === 'closed';
  return { code: lost ? 'offline' : thrown.code, ...asked, from: null, message: reasonOf(thrown), remedy: thrown.remedy ?? (lost ? `The agent ${asked.agent} has no link: look at its machine and its log.` : 'Try it again later.') };
}

/** Nothing that was asked identifies the device: SNMP's reason first, because it is the one that is usually mended. */
export function nothingAnswered(snmp: ProbeFailure, ipp: ProbeFailure | null, alive: string | null): ProbeFailure {
  const also = [ipp === null || ipp.code === snmp.code && ipp.code === 'offline' ? null : `IPP: ${ipp.message}`, alive].filter((text) => text !== null);
  return { ...snmp, message: [snmp.message, ...also].map((text) => text.replace(/[.;\s]+$/, '')).join('; ') };
}
