// The words of the pages on panels. Whoever reads them stands at a device and wants to scan; what they can do is in the first lines, and
// what their administrator needs is on the same small screen.
import type { IdentityState } from '#model/identity.ts';

export type PanelKind = 'locked' | 'not-assigned' | 'ambiguous' | 'unknown' | 'not-verified' | 'session' | 'unreachable' | 'test';

export interface PanelText {
  readonly title: string;
  readonly says: readonly string[];
  /** Behind the code. */
  readonly todo: readonly string[];
  readonly fact?: readonly [label: string, value: string];
  /** Somebody will change something: the page looks again by itself. */
  readonly waits: boolean;
}

export interface PanelFacts {
  readonly application: string;
  readonly address: string;
  readonly why: string;
  readonly state: IdentityState | null;
  /** A sentence about the way that the connection took; null: nothing to say. */
  readonly verdict: string | null;
  readonly hasCode: boolean;
}

const giveCode = ({ hasCode }: PanelFacts): string[] => (hasCode ? ['Give this code to your administrator:'] : []);

const openAgain = ({ application }: PanelFacts) => `Open "${application}" again from the menu of this device.`;

/** By SessionRefusal and SessionEnd. */
const sessions: Readonly<Record<string, (facts: PanelFacts) => PanelText>> = {
  idle: (facts) => ({ title: 'Your session has ended', says: ['Nothing was done here for a while.'], todo: [openAgain(facts)], waits: false }),
  absolute: (facts) => ({ title: 'Your session has ended', says: ['It had lasted as long as sessions may.'], todo: [openAgain(facts)], waits: false }),
  killed: (facts) => ({ title: 'Your session was ended', says: ['An administrator ended it.'], todo: [openAgain(facts)], waits: false }),
  removed: (facts) => ({ title: 'Your session was ended', says: ['This device was removed from the list of devices.'], todo: [`To use "${facts.application}" again it has to be added there.`], waits: false }),
  paused: ({ application }) => ({
    title: 'This device is being checked',
    says: [`An administrator asked to make sure which device this is before "${application}" goes on.`],
    todo: ['Please wait a moment. If it takes longer, open it again from the menu of this device, or ask your administrator.'],
    waits: true,
  }),
  elsewhere: (facts) => ({ title: 'This is another session', says: ['The address that was opened belongs to a session at another place.'], todo: [openAgain(facts)], waits: false }),
};

const ended = (facts: PanelFacts): PanelText => ({ title: 'Your session has ended', says: ['The address that was opened belongs to a session that is over.'], todo: [openAgain(facts)], waits: false });

const states: Readonly<Record<IdentityState, string>> = {
  verified: 'verified',
  'address-only': 'known by its address only',
  ambiguous: 'not clear: more than one device may have this address',
  unknown: 'unknown: no device is known at this address',
};

export const panelTexts: Readonly<Record<PanelKind, (facts: PanelFacts) => PanelText>> = {
  locked: ({ application }) => ({
    title: 'This device is locked',
    says: [`An administrator has locked it: it may not use "${application}" at the moment.`],
    todo: ['Administrator: unlock it in the console, on the page of the device.'],
    waits: false,
  }),
  'not-assigned': (facts) => ({
    title: `This device may not use "${facts.application}" yet`,
    says: [`It is known, but not a job source of "${facts.application}".`, ...giveCode(facts)],
    todo: ['Administrator: add it in the console under Job sources.'],
    waits: true,
  }),
  ambiguous: (facts) => ({
    title: 'Which device is this?',
    says: [`More than one device uses the address ${facts.address}, so nobody can tell whose work this is. No session is opened or shared.`, ...giveCode(facts)],
    todo: ['Administrator: find the code in the console under Job sources and choose this device.'],
    waits: true,
  }),
  unknown: (facts) => ({
    title: 'This device is not known here',
    says: [`"${facts.application}" is for known devices, and none is known at ${facts.address}.`, ...giveCode(facts)],
    todo: ['Administrator: find the code in the console under Job sources and say which device this is.'],
    waits: true,
  }),
  'not-verified': (facts) => ({
    title: 'This device has to be verified',
    says: [`"${facts.application}" asks a device for more than the right address.`, ...giveCode(facts)],
    todo: ['Administrator: give the device a URL of its own or a certificate, or let it be probed.'],
    waits: true,
  }),
  session: (facts) => (Object.hasOwn(sessions, facts.why) ? sessions[facts.why]! : ended)(facts),
  unreachable: ({ application }) => ({
    title: `"${application}" does not answer`,
    says: ['This device is all right. Its server cannot be reached at the moment.'],
    todo: ['Please try again in a minute. If it stays like this, tell your administrator the request number.'],
    waits: true,
  }),
  test: ({ application, state, verdict }) => ({
    title: 'Connection test',
    says: [`This device reaches the gateway in front of "${application}".`, ...(verdict === null ? [] : [verdict])],
    todo: [],
    ...(state === null ? {} : { fact: ['Identity', states[state]] as const }),
    waits: false,
  }),
};
