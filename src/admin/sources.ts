// Job sources over the API: which device may use which application; in and out as CSV; what of them contradicts.
import type { ApplicationView, JobSourceView, SourceConflictView, SourceImportView } from '#api/source-shapes.ts';
import { canonicalAddress } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import type { Id } from '#base/ids.ts';
import { buildNetworkSet, isInNetworks } from '#base/networks.ts';
import type { ConfigRoute } from '#model/config.ts';
import { confirmationOf } from '#model/identity-known.ts';
import { conflictsOf, sourceProblem, type SourceConflict, type SourceDraft, type SourceWorld } from '#model/job-sources.ts';
import { diffSources, readSources, writeSources, type SourceNames } from '#model/job-sources-csv.ts';
import type { JobSource } from '#model/place-rows.ts';
import { mayAnywhere, subjectOfDevice, type Subject } from '#model/rights.ts';
import type { Device, Site } from '#model/rows.ts';
import { groupsBy } from '#model/table.ts';
import { auditOf, may, mustMay, type Acts, type Anyone } from './asked.ts';
import { deviceFor } from './devices.ts';
import { keepSorted, pageOf } from './pages.ts';
import { defaultCustomer, type Room } from './room.ts';

type Names = 'listApplications' | 'listJobSources' | 'addJobSource' | 'changeJobSource' | 'removeJobSource' | 'listJobSourceConflicts' | 'exportJobSources' | 'importJobSources';

const wrong = (path: string, message: string, remedy?: string) => new Fault('bad-input', message, { detail: { problems: [{ path, message }] }, ...(remedy === undefined ? {} : { remedy }) });
const conflictsShown = 1_000;

/** What job sources are compared with, and the rows themselves as people see and change them. */
export function buildSourceBook(room: Room) {
  const { tables, operations, clock, limits } = room;
  const byPlace = groupsBy(tables.devices, (row) => row.id, (row) => `${row.siteId} ${canonicalAddress(row.host) ?? row.host}`);
  const bySerial = groupsBy(tables.devices, (row) => row.id, (row) => (row.serial === null ? undefined : `${row.customerId} ${row.serial}`));
  /** Of the configuration as it is now. */
  const worldNow = (): SourceWorld => {
    const { config } = room.control.snapshot();
    const applications = new Map(config.routes.flatMap(({ name, application }) => (application ? [[name, application] as const] : [])));
    const pool = buildNetworkSet(config.addressPool?.networks ?? []);
    return {
      deviceById: (id) => tables.devices.get(id),
      devicesBySerial: (customerId, serial) => bySerial.get(`${customerId} ${serial}`),
      devicesAt: (siteId, address) => byPlace.get(`${siteId} ${address}`),
      confirmationOf: (id) => confirmationOf(tables.deviceProfiles.get(id)),
      virtualAddressOf: (id) => tables.virtualAddresses.get(id)?.address ?? null,
      virtualOwner: (address) => tables.virtualAddressAt(address)?.deviceId ?? null,
      hears(name) {
        const application = applications.get(name);
        return application === undefined ? null : { address: application.tell === 'virtual' ? 'virtual' : application.address, connects: application.tell === 'virtual' };
      },
      isInPool: (address) => isInNetworks(pool, address),
    };
  };
  const devicesOf = ({ customerId, deviceId, serial, siteId, address }: JobSource): readonly Device[] =>
    serial !== null ? bySerial.get(`${customerId} ${serial}`) : siteId !== null ? byPlace.get(`${siteId} ${address}`) : [tables.devices.get(deviceId!)].filter((row) => row !== undefined);

  /** Whose right it is: the device's, the site's, or, where no device has the serial yet, the customer's. */
  const subjectOfSource = (row: Pick<JobSource, 'customerId' | 'deviceId' | 'serial' | 'siteId'>): Subject => {
    if (row.siteId !== null) return { customerId: row.customerId, siteId: row.siteId };
    const device = row.deviceId !== null ? tables.devices.get(row.deviceId) : tables.deviceBySerial(row.customerId, row.serial ?? '');
    return device === undefined ? { customerId: row.customerId } : subjectOfDevice(device);
  };
  const whoOf = ({ deviceId, serial, siteId, address }: SourceDraft): string =>
    deviceId !== null ? (tables.devices.get(deviceId)?.label ?? deviceId) : serial !== null ? `serial ${serial}` : `${address} at ${tables.sites.get(siteId!)?.name ?? siteId}`;
  const subject = (row: JobSource) => ({ customerId: row.customerId, kind: 'job-source', id: row.id, name: `${row.application}: ${whoOf(row)}`.slice(0, 200) });
  const factsOf = (row: JobSource) => ({ application: row.application, device: row.deviceId, serial: row.serial, site: row.siteId, address: row.address, as: row.as, note: row.note });

  const view = (asked: Anyone, row: JobSource, world: SourceWorld): JobSourceView => {
    const [device, another] = devicesOf(row);
    const one = device !== undefined && another === undefined && may(asked, 'see', subjectOfDevice(device)) ? device : null;
    const hears = world.hears(row.application);
    const appears = row.as ?? (one === null || hears === null ? null : hears.address === 'virtual' ? world.virtualAddressOf(one.id) : canonicalAddress(one.host));
    return {
      id: row.id, customerId: row.customerId, application: row.application, deviceId: row.deviceId, serial: row.serial, siteId: row.siteId, siteName: row.siteId === null ? null : (tables.sites.get(row.siteId)?.name ?? null),
      address: row.address, as: row.as, note: row.note, createdAt: row.createdAt,
      device: one === null ? null : { id: one.id, name: one.name, label: one.label, serial: one.serial },
      appears, mayChange: may(asked, 'administer', subjectOfSource(row)),
    };
  };
  /** Rows and devices of others are left out; a conflict with one of them is still one. */
  const shown = (asked: Anyone, all: readonly SourceConflict[]): SourceConflictView[] =>
    all.flatMap((each) => {
      const sourceIds = each.sourceIds.filter((id) => {
        const row = tables.jobSources.get(id);
        return row !== undefined && may(asked, 'see', subjectOfSource(row));
      });
      if (sourceIds.length === 0) return [];
      const deviceIds = each.deviceIds.filter((id) => {
        const device = tables.devices.get(id);
        return device !== undefined && may(asked, 'see', subjectOfDevice(device));
      });
      return [{ ...each, sourceIds, deviceIds }];
    }).slice(0, conflictsShown);
  const conflicts = (asked: Anyone, world = worldNow()) => shown(asked, conflictsOf(tables.jobSources.values(), world));

  /** Somebody else's address is somebody else's documents. */
  const checkAs = (asked: Anyone, row: Pick<JobSource, 'as' | 'deviceId' | 'customerId' | 'serial' | 'siteId' | 'address'>, world: SourceWorld, before: string | null): void => {
    if (row.as === null || row.as === before) return;
    const owner = world.virtualOwner(row.as);
    const [device, another] = devicesOf(row as JobSource);
    if (owner !== null && owner === device?.id && another === undefined) return;
    if (owner !== null) throw wrong('as', `${row.as} is another device's virtual address`, 'Choose another one, or leave "as" empty.');
    mustMay(asked, 'administer', 'gateway', 'choose the address as which a device appears: an application may serve several customers');
  };
  const save = async (asked: Anyone, row: JobSource, what: string, before: string | null = null): Promise<JobSource> => {
    const problem = sourceProblem(row);
    if (problem !== null) throw wrong('', problem);
    const world = worldNow();
    if (world.hears(row.application) === null) throw wrong('application', `there is no application "${row.application}"`, 'Name a route that has "application" in the configuration.');
    mustMay(asked, 'administer', subjectOfSource(row), 'say which applications this device may use');
    checkAs(asked, row, world, before);
    if (!tables.jobSources.get(row.id) && tables.jobSources.size >= limits.jobSourcesMax) throw new Fault('too-many', `the gateway has ${limits.jobSourcesMax} job sources already`);
    await operations.changeJobSources({ put: [row], removed: [] }, [auditOf(room, asked, what, subject(row), factsOf(row))]);
    tables.jobSources.publish({ put: [row] });
    return row;
  };
  const newRow = (customerId: Id, draft: SourceDraft): JobSource => ({ id: room.newId(), customerId, ...draft, createdAt: clock.nowMs() });
  return { worldNow, view, conflicts, save, newRow, subjectOfSource, subject, factsOf, whoOf, checkAs };
}

export type SourceBook = ReturnType<typeof buildSourceBook>;

export function buildSourceActs(room: Room, book: SourceBook): Acts<Names> {
  const { tables, operations } = room;
  const order = { keyOf: (row: JobSource) => `${row.application}\0${row.customerId}\0${row.id}` };
  const rows = keepSorted(tables.jobSources, order);
  const find = (asked: Anyone, id: Id): JobSource => {
    const row = tables.jobSources.get(id);
    if (!row || !may(asked, 'see', book.subjectOfSource(row))) throw new Fault('not-found', 'there is no such job source, or not any more');
    mustMay(asked, 'administer', book.subjectOfSource(row), 'say which applications this device may use');
    return row;
  };
  const customerOf = (asked: Anyone, customerId: Id | undefined, action: 'see' | 'administer'): Id => {
    const customer = customerId === undefined ? defaultCustomer(room) : tables.customers.get(customerId);
    if (!customer || !may(asked, 'see', { customerId: customer.id })) throw new Fault('not-found', 'there is no such customer, or you may not see all of it', { remedy: 'name the customer' });
    mustMay(asked, action, { customerId: customer.id }, "change all of this customer's job sources");
    return customer.id;
  };
  const answer = (asked: Anyone, row: JobSource) => {
    const world = book.worldNow();
    return { source: book.view(asked, row, world), conflicts: book.conflicts(asked, world).filter((each) => each.sourceIds.includes(row.id)) };
  };
  return {
    listApplications(asked) {
      if (!mayAnywhere(asked.rights, 'administer')) throw new Fault('forbidden', 'you may not see applications', { remedy: 'ask an administrator' });
      const heard = ({ name, host, protocol, application }: ConfigRoute): ApplicationView[] => (application ? [{ name, host: host ?? null, protocol, tell: application.tell, address: application.tell === 'virtual' ? 'virtual' : application.address, require: application.require, assigned: application.assigned }] : []);
      return { items: room.control.snapshot().config.routes.flatMap(heard) };
    },
    listJobSources(asked) {
      const { application, search = '', customerId } = asked.query;
      const needle = search.trim().toLowerCase();
      const world = book.worldNow();
      const fits = (row: JobSource) => needle === '' || [book.whoOf(row), row.note, row.as ?? '', tables.devices.get(row.deviceId ?? '')?.name ?? ''].some((text) => text.toLowerCase().includes(needle));
      return pageOf(rows(), order, asked.query, (row) => (application === undefined || row.application === application) && (customerId === undefined || row.customerId === customerId) && may(asked, 'see', book.subjectOfSource(row)) && fits(row), (row) => book.view(asked, row, world));
    },
    addJobSource: (asked) =>
      room.inTurn(async () => {
        const { device: named, serial = null, siteId = null, address = null, application, as, note } = asked.body;
        const device = named === undefined ? null : deviceFor(room, asked, named, 'administer', 'say which applications this device may use');
        const site = siteId === null ? null : siteSeen(room, asked, siteId);
        const customerId = device?.customerId ?? site?.customerId ?? ownerOfSerial(room, asked, asked.body.customerId);
        const canonical = (text: string | null) => (text === null ? null : (canonicalAddress(text) ?? text));
        const row = book.newRow(customerId, { application, deviceId: device?.id ?? null, serial, siteId: site?.id ?? null, address: canonical(address), as: canonical(as), note });
        return answer(asked, await book.save(asked, row, 'job-source.added'));
      }),
    changeJobSource: (asked) =>
      room.inTurn(async () => {
        const row = find(asked, asked.params.id);
        const { as, note } = asked.body;
        return answer(asked, await book.save(asked, { ...row, as: as === null ? null : (canonicalAddress(as) ?? as), note }, 'job-source.changed', row.as));
      }),
    removeJobSource: (asked) =>
      room.inTurn(async () => {
        const row = find(asked, asked.params.id);
        await operations.changeJobSources({ put: [], removed: [row.id] }, [auditOf(room, asked, 'job-source.removed', book.subject(row), book.factsOf(row))]);
        tables.jobSources.publish({ removed: [row.id] });
        return {};
      }),
    listJobSourceConflicts: (asked) => ({ items: book.conflicts(asked) }),
    exportJobSources(asked) {
      const customerId = customerOf(asked, asked.query.customerId, 'see');
      const mine = rows().filter((row) => row.customerId === customerId);
      const sites = sitesByName(room, customerId);
      const siteName = (id: Id) => {
        const name = tables.sites.get(id)?.name;
        return name !== undefined && sites.get(name.toLowerCase())?.length === 1 ? name : id;
      };
      const text = writeSources(mine, { device: (id) => tables.devices.get(id)?.label ?? id, site: siteName });
      return { text, sources: mine.length };
    },
    importJobSources: (asked) => room.inTurn(() => importSources(room, book, asked, customerOf(asked, asked.body.customerId, 'administer'), asked.body)),
  };
}

/** Made once for a file: looked up for each of its lines. */
const sitesByName = ({ tables }: Pick<Room, 'tables'>, customerId: Id): ReadonlyMap<string, readonly Site[]> => Map.groupBy(Array.from(tables.sites.values()).filter((site) => site.customerId === customerId), (site) => site.name.toLowerCase());

function siteSeen({ tables }: Pick<Room, 'tables'>, asked: Anyone, siteId: Id): Site {
  const site = tables.sites.get(siteId);
  if (!site || !may(asked, 'see', { customerId: site.customerId, siteId })) throw wrong('siteId', 'there is no such site');
  return site;
}

function ownerOfSerial(room: Room, asked: Anyone, customerId: Id | undefined): Id {
  const customer = customerId === undefined ? defaultCustomer(room) : room.tables.customers.get(customerId);
  // Whether they may say anything about that serial is asked when the row is saved.
  if (!customer || (customerId !== undefined && !may(asked, 'see', { customerId }))) throw wrong('customerId', 'there is no such customer');
  return customer.id;
}

/** Names are looked up among the customer's own things alone. */
function namesIn(room: Room, customerId: Id): SourceNames {
  const { tables } = room;
  const applications = new Set(room.control.snapshot().config.routes.filter((route) => route.application).map((route) => route.name));
  let byName: Map<string, Device[]> | undefined;
  const sites = sitesByName(room, customerId);
  return {
    device(text) {
      const direct = tables.devices.get(text) ?? tables.deviceByLabel(text.toLowerCase());
      if (direct?.customerId === customerId) return direct.id;
      byName ??= Map.groupBy(Array.from(tables.devices.values()).filter((row) => row.customerId === customerId), (row) => row.name.toLowerCase());
      const found = byName.get(text.toLowerCase());
      return found === undefined ? undefined : found.length > 1 ? 'many' : found[0]!.id;
    },
    site(text) {
      const direct = tables.sites.get(text);
      if (direct?.customerId === customerId) return direct.id;
      const found = sites.get(text.toLowerCase()) ?? [];
      return found.length > 1 ? 'many' : found[0]?.id;
    },
    isApplication: (name) => applications.has(name),
  };
}

async function importSources(room: Room, book: SourceBook, asked: Anyone, customerId: Id, { text, replace, dryRun }: { readonly text: string; readonly replace: boolean; readonly dryRun: boolean }): Promise<SourceImportView> {
  const { tables, operations, limits } = room;
  const { drafts, problems } = readSources(text, namesIn(room, customerId));
  const mine = Array.from(tables.jobSources.values()).filter((row) => row.customerId === customerId);
  const nothing = { added: [], changed: [], removed: [], same: 0, done: false, conflicts: [] };
  if (problems.length > 0) return { problems: [...problems], ...nothing };
  const diff = diffSources(mine, drafts, replace);
  const world = book.worldNow();
  for (const draft of diff.added) book.checkAs(asked, { ...draft, customerId }, world, null);
  for (const { before, after } of diff.changed) book.checkAs(asked, { ...after, customerId }, world, before.as);
  if (tables.jobSources.size + diff.added.length - diff.removed.length > limits.jobSourcesMax) throw new Fault('too-many', `the gateway would have more than ${limits.jobSourcesMax} job sources`);
  const shown = (draft: SourceDraft) => ({ application: draft.application, who: book.whoOf(draft), as: draft.as, note: draft.note });
  const view = { problems: [], added: diff.added.map(shown), changed: diff.changed.map(({ after }) => shown(after)), removed: diff.removed.map(shown), same: diff.same };
  if (dryRun) return { ...view, done: false, conflicts: [] };
  const put = [...diff.added.map((draft) => book.newRow(customerId, draft)), ...diff.changed.map(({ before, after }) => ({ ...before, as: after.as, note: after.note }))];
  const removed = diff.removed.map((row) => row.id);
  if (put.length + removed.length > 0) {
    const counts = { added: diff.added.length, changed: diff.changed.length, removed: removed.length };
    const name = tables.customers.get(customerId)?.key ?? customerId;
    // One line for each row: the audit says who let which device in.
    const audits = [
      auditOf(room, asked, 'job-sources.imported', { customerId, kind: 'customer', id: customerId, name }, counts),
      ...put.map((row) => auditOf(room, asked, tables.jobSources.get(row.id) ? 'job-source.changed' : 'job-source.added', book.subject(row), book.factsOf(row))),
      ...diff.removed.map((row) => auditOf(room, asked, 'job-source.removed', book.subject(row), book.factsOf(row))),
    ];
    await operations.changeJobSources({ put, removed }, audits);
    tables.jobSources.publish({ put, removed });
  }
  const touched = new Set([...put.map((row) => row.id), ...mine.map((row) => row.id)]);
  return { ...view, done: true, conflicts: book.conflicts(asked).filter((each) => each.sourceIds.some((id) => touched.has(id))) };
}

/** The row that lets the device use the application already, if there is one. */
export function standingSource({ tables }: Pick<Room, 'tables'>, application: string, device: Device): JobSource | undefined {
  const address = canonicalAddress(device.host) ?? device.host;
  return tables.sources.byDevice(application, device.id) ?? (device.serial === null ? undefined : tables.sources.bySerial(application, device.customerId, device.serial)) ?? tables.sources.byAddress(application, device.siteId, address);
}

