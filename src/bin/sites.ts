// `postern sites`: sites, their networks, and what is where.
import { Fault } from '#base/fault.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { findAgent } from './find-agent.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printFacts, printJson, printLine, printTable } from './output.ts';
import type { SiteDetailView } from '#api/place-shapes.ts';

export const usage = `Usage: postern sites
       postern sites show SITE [--lan]
       postern sites add NAME [--customer ID] [--subnet NETWORK]… [--egress NETWORK]…
       postern sites change SITE [--name NAME] [--subnet NETWORK]… [--egress NETWORK]… [--no-subnets] [--no-egress]
       postern sites remove SITE
       postern sites move SITE --agent AGENT | --device DEVICE

SITE is an id, a name or CUSTOMER/NAME. Networks are CIDR; those that are given replace the ones before. An agent (a name, an id, a device's label)
moves with its devices and doors.

      --lan              ask the site's agents about their LAN
      --subnet NETWORK   a network inside; other sites may have the same
      --egress NETWORK   a public address that its traffic comes from
${commonUsage}`;

const options = {
  lan: { type: 'boolean' }, customer: { type: 'string' }, name: { type: 'string' }, subnet: { type: 'string', multiple: true }, egress: { type: 'string', multiple: true },
  'no-subnets': { type: 'boolean' }, 'no-egress': { type: 'boolean' }, agent: { type: 'string' }, device: { type: 'string' },
} as const;
const acts = ['show', 'add', 'change', 'remove', 'move'];

function printSite(io: CommandIo, site: SiteDetailView): void {
  const listed = (list: readonly string[]) => (list.length === 0 ? null : list.join(', '));
  printFacts(io, [
    ['id', site.id], ['name', site.name], ['subnets', listed(site.subnets)], ['egress', listed(site.egress)],
    ['links come from', listed(site.observed.map((each) => `${each.address}${each.isListed || !each.isPublic ? '' : ' (not in egress)'}`))],
    ['agents', listed(site.agents.map((each) => `${each.name}${each.online ? '' : ' (offline)'}`))], ['devices', site.devices],
    ['doors', listed(site.doors.map((each) => `${each.address} ${each.port} ${each.bound ? 'open' : 'shut'}`))],
    ['also elsewhere', listed(site.overlaps.map((each) => `${each.network} (${each.kind}${each.siteName === '' ? '' : ` of ${each.siteName}`})`))],
  ]);
  for (const lan of site.lan) printFacts(io, [['', null], ['LAN seen by', lan.agentName], ['subnets', listed(lan.subnets)], ['gateways', listed(lan.gateways)], ['resolvers', listed(lan.resolvers)], ['addresses', listed(lan.addresses)]]);
}

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, options, { min: 0, max: 2 });
  const [act, subject] = positionals;
  if (act !== undefined && !acts.includes(act)) throw usageFault(`there is no "sites ${act}"`);
  if (act !== undefined && subject === undefined) throw usageFault(act === 'add' ? 'the name is missing' : 'the site is missing');
  if (act === 'move' && (values.agent === undefined) === (values.device === undefined)) throw usageFault('give --agent or --device');
  using client = await openGateway(io, values);
  const { signal } = io;
  const show = (site: SiteDetailView) => {
    if (values.json) printJson(io, site);
    else printSite(io, site);
    return exitCodes.ok;
  };
  const params = { site: subject ?? '' };
  if (act === 'show') return show(await client.call('getSite', { params, query: { lan: values.lan ? 'true' : 'false' }, signal }));
  if (act === 'add') return show(await client.call('addSite', { body: { name: subject!, ...(values.customer !== undefined && { customerId: values.customer }), subnets: values.subnet ?? [], egress: values.egress ?? [] }, signal }));
  if (act === 'change') {
    const subnets = values['no-subnets'] ? [] : values.subnet;
    const egress = values['no-egress'] ? [] : values.egress;
    if (values.name === undefined && !subnets && !egress) throw new Fault('bad-input', 'nothing to change', { detail: { usage: true } });
    return show(await client.call('changeSite', { params, body: { ...(values.name !== undefined && { name: values.name }), ...(subnets && { subnets }), ...(egress && { egress }) }, signal }));
  }
  if (act === 'remove') {
    await client.call('removeSite', { params, signal });
    if (values.json) printJson(io, {});
    else printLine(io, `${subject} is gone.`);
    return exitCodes.ok;
  }
  if (act === 'move') {
    const { id: siteId, name } = await client.call('getSite', { params, signal });
    const moved = values.agent === undefined ? await client.call('moveDevice', { params: { device: values.device! }, body: { siteId }, signal }) : await client.call('moveAgent', { params: { id: (await findAgent(client, values.agent, signal)).id }, body: { siteId }, signal });
    if (values.json) printJson(io, moved);
    else printLine(io, `${moved.name} belongs to ${name} now.`);
    return exitCodes.ok;
  }
  const { items } = await client.call('listSites', { query: { limit: 200 }, signal });
  if (values.json) printJson(io, items);
  else printTable(io, ['NAME', 'ID', 'CUSTOMER'], items.map((each) => [each.name, each.id, each.customerId]), 'There are no sites that you may see.');
  return exitCodes.ok;
}
