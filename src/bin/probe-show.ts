// How the command line shows what a device said of itself: for `postern probe` and `postern profile`.
import type { ProfileView, SupplyView } from '#api/probe-shapes.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatLength, printFacts, printLine, printTable } from './output.ts';

const barWidth = 20;

function barOf({ percent, state }: SupplyView): string {
  if (percent === null) return state;
  const filled = Math.round((Math.min(100, Math.max(0, percent)) / 100) * barWidth);
  return `[${'#'.repeat(filled)}${' '.repeat(barWidth - filled)}] ${Math.round(percent)} %${state === 'ok' ? '' : `, ${state}`}`;
}

const trustWords = { verified: 'verified: the serial is the one of this device', different: 'another device answers at its address', unread: 'not confirmed' } as const;

export function printProfile(io: CommandIo, view: ProfileView, now: number): void {
  const { profile, failure } = view;
  const able = profile ? Object.entries(profile.functions).filter(([, can]) => can === true).map(([name]) => name) : [];
  printFacts(io, [
    ['device', view.device],
    ...(profile
      ? ([
          ['model', [profile.vendor, profile.model].filter((each) => each !== null).join(' ')],
          ['serial', profile.serial],
          ['firmware', profile.firmware],
          ['location', profile.location],
          ['functions', [...able, ...(profile.colour === true ? ['colour'] : []), ...(profile.duplex === true ? ['duplex'] : [])].join(', ')],
          ['languages', profile.languages.join(', ')],
          ['protocols', profile.protocols.join(', ')],
          ['status', [profile.status, ...profile.errors].filter((each) => each !== null).join(', ')],
          ['up for', profile.upSeconds === null ? null : formatLength(profile.upSeconds * 1_000)],
          ['counters', Object.entries(profile.counters).map(([name, count]) => `${name} ${count.toLocaleString('en')}`).join(', ')],
          ['driver', profile.driver],
        ] as const)
      : []),
    ['address', view.address],
    ['MAC', view.mac],
    ['identity', trustWords[view.trust]],
    ['read', formatAgo(view.readAt, now)],
  ]);
  const parts = [...(profile?.supplies ?? []), ...(profile?.trays ?? [])];
  if (parts.length > 0) {
    printLine(io);
    printTable(io, ['SUPPLY', 'TYPE', 'COLOUR', 'LEVEL'], parts.map((each) => [each.name, each.type, each.colour, barOf(each)]), '');
  }
  if (view.offeredSerial !== null) printLine(io, `\nThe device has no serial here. To make ${view.offeredSerial} its own: postern profile DEVICE take-serial`);
  if (!failure) return;
  printLine(io);
  printFacts(io, [
    [view.readAt === view.triedAt ? 'missing' : 'failed', `${failure.code}, ${formatAgo(view.triedAt, now)}`],
    ['question', failure.question],
    ['address', failure.address],
    ['agent', failure.from === null ? failure.agent : `${failure.agent}, asking from ${failure.from}`],
    ['last good', formatAgo(view.readAt, now)],
    ['why', failure.message],
    ['do', failure.remedy],
  ]);
}

export function printExplained(io: CommandIo, { explained }: ProfileView): void {
  printLine(io);
  if (!explained) {
    printLine(io, 'What was asked is remembered for the last devices alone; this one is not among them.');
    return;
  }
  const { driver, asked, gaps, requests } = explained;
  printLine(io, driver ? `Driver ${driver.key}${driver.own ? ' (your own)' : ''}, chosen by ${driver.by}: ${driver.matched}. ${requests} datagrams by SNMP.` : `No driver was chosen. ${requests} datagrams by SNMP.`);
  printTable(io, ['QUESTION', 'ANSWER'], asked.map(({ question, value, why }) => [question, value ?? `(${why ?? 'no answer'})`]), 'Nothing was asked.');
  for (const gap of gaps) printLine(io, `\n${gap.question}: ${gap.message}\n  ${gap.remedy}`);
}
