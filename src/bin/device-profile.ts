// `postern profile`: what devices said that they are; their supplies and counters over time.
import { collect, commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { formatAgo, formatTime, printJson, printLine, printTable } from './output.ts';
import { printExplained, printProfile } from './probe-show.ts';

export const usage = `Usage: postern profile
       postern profile DEVICE [--explain]
       postern profile DEVICE series [NAME] [--days N]
       postern profile DEVICE take-serial

What DEVICE (label, id or customer/name) said of itself when it was asked last; without DEVICE, all that were asked. series lists its readings
of supplies and counters, or shows one of them over time. take-serial makes the serial that was read the device's, where it has none.

      --explain       every question of the last probe and its answer
      --days N        of a series, the last N days (30)
${commonUsage}`;

const pointsShown = 40;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, { explain: { type: 'boolean' }, days: { type: 'string' } }, { min: 0, max: 3 });
  const [device, act, series] = positionals;
  if (act !== undefined && act !== 'series' && act !== 'take-serial') throw usageFault(`there is no "profile DEVICE ${act}"`);
  if (series !== undefined && act !== 'series') throw usageFault(`"${series}" is one word too many`);
  using client = await openGateway(io, values);
  const { signal } = io;
  const now = Date.now();
  if (device === undefined) {
    const rows = await collect(10_000, (query) => client.call('listProfiles', { query, signal }));
    if (values.json) printJson(io, rows);
    else {
      printTable(
        io,
        ['DEVICE', 'MODEL', 'SERIAL', 'IDENTITY', 'READ', 'TROUBLE', 'ENDS FIRST'],
        rows.map((row) => [row.device, [row.vendor, row.model].filter((each) => each !== null).join(' '), row.serial, row.trust, formatAgo(row.readAt, now), row.failure ?? row.errors.join(', '), row.lowest && `${row.lowest.name} ${row.lowest.percent === null ? row.lowest.state : `${Math.round(row.lowest.percent)} %`}`]),
        'No device was asked yet. postern probe DEVICE asks one.',
      );
    }
    return exitCodes.ok;
  }
  const params = { device };
  if (act === 'series') {
    if (series === undefined) {
      const { items } = await client.call('listSeries', { params, signal });
      if (values.json) printJson(io, items);
      else printTable(io, ['SERIES', 'LAST', 'AT'], items.map((each) => [each.series, each.value, formatTime(each.at)]), 'There are no readings of it.');
      return exitCodes.ok;
    }
    const days = parseCount(values.days, 'days', 30);
    const found = await client.call('listSamples', { params, query: { series, from: Math.max(0, now - days * 86_400_000), to: now, points: pointsShown }, signal });
    if (values.json) printJson(io, found);
    else printTable(io, ['AT', 'VALUE', 'LEAST', 'MOST'], found.points.map(({ at, value, min, max }) => [formatTime(at), value, min, max]), 'There are no readings in that time.');
    return exitCodes.ok;
  }
  const view = act === 'take-serial' ? await client.call('takeProbedSerial', { params, signal }) : await client.call('getProfile', { params, query: { explain: values.explain ? 'true' : 'false' }, signal });
  if (values.json) printJson(io, view);
  else if (act === 'take-serial') printLine(io, `${view.device} has the serial ${view.profile?.serial ?? ''} now.`);
  else if (view.triedAt === null) printLine(io, `${view.device} was not asked yet. postern probe ${device} does it.`);
  else {
    printProfile(io, view, now);
    if (values.explain) printExplained(io, view);
  }
  return exitCodes.ok;
}
