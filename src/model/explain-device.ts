// What would become of a request of the device protocol: who the serial is, what it has to show, where it is sent, what is answered. The same questions in the
// same order as in the room fleet, asked of the tables and told in lines.
import { isFault } from '#base/fault.ts';
import { checkEpoch, checkFeedName, parseDevicePath, parseOffset, type DevicePath } from '#wire/device.ts';
import type { Config } from './config.ts';
import { feedSettingsOf, strangersOf } from './feed-rules.ts';
import type { Leases } from './leases.ts';
import type { Customer, Device, FeedEpoch } from './rows.ts';
import type { Tables } from './tables.ts';

export interface DeviceQuestion {
  /** Path and query. */
  readonly target: string;
  readonly method: string;
  readonly from: string;
  readonly secure: boolean;
  /** Without a port. */
  readonly host: string;
}

export interface DeviceKnowledge {
  readonly tables: Pick<Tables, 'customerByKey' | 'deviceBySerial' | 'waitingBySerial' | 'keysOfDevice'>;
  readonly config: Pick<Config, 'feeds' | 'strangers'>;
  readonly leases: Pick<Leases, 'preview'>;
  /** Of the feed and epoch in the path, where it is about one. */
  readonly epoch: Pick<FeedEpoch, 'next' | 'sealedAt' | 'sealedTo' | 'format'> | null;
  /** A reason to store nothing now. */
  readonly full: string | null;
}

export interface DeviceTold {
  readonly lines: string[];
  /** The rule that refuses it; null: none does. */
  readonly refusedBy: string | null;
}

const acts = ['push', 'check-in', 'in', 'file', 'action'];

export function describeDeviceRequest(known: DeviceKnowledge, question: DeviceQuestion): DeviceTold {
  const lines: string[] = [];
  const refuse = (status: number, rule: string, why: string): DeviceTold => ({ lines: [...lines, `refused with ${status}: ${why}`], refusedBy: rule });
  let path: DevicePath | null;
  try {
    path = parseDevicePath(question.target);
    if (path?.act === 'push' || path?.act === 'in') checkPlace(path);
  } catch (thrown) {
    if (!isFault(thrown)) throw thrown;
    return refuse(thrown.code === 'not-found' ? 404 : 400, 'device path', thrown.message);
  }
  if (path === null) return refuse(404, 'device path', 'the path is /v1/CUSTOMER/push/SERIAL/FEED/EPOCH, or check-in, in, file');
  lines.push(`the device protocol: ${path.act} for serial ${path.serial} of customer ${path.customer}${path.rest.length > 0 ? `, ${path.act === 'push' ? `feed ${path.rest[0]}, epoch ${path.rest[1]}` : path.rest.join('/')}` : ''}`);
  const customer = known.tables.customerByKey(path.customer);
  if (!customer) return refuse(404, 'customer', `there is no customer ${path.customer} here`);
  if (!acts.includes(path.act)) return refuse(404, 'device path', `"${path.act}" is nothing that is done here: ${acts.join(', ')}`);
  const device = known.tables.deviceBySerial(customer.id, path.serial);
  const refusal = device ? tellDevice(known, question, path, device, lines) : tellStranger(known, path, customer, lines);
  if (refusal) return refuse(...refusal);
  const sent = device ? tellRedirect(known, question, path, device, customer, lines) : false;
  if (!sent) tellAnswer(known, question, path, lines);
  return { lines, refusedBy: null };
}

function checkPlace({ act, rest: [feed = '', epoch = '', ...more] }: DevicePath): void {
  checkFeedName(feed);
  if (act === 'push') checkEpoch(epoch);
  if (more.length > 0 || (act === 'in' && epoch !== '')) checkFeedName('');
}

type Refusal = readonly [status: number, rule: string, why: string];

function tellDevice({ tables, config }: DeviceKnowledge, { secure }: DeviceQuestion, { customer }: DevicePath, device: Device, lines: string[]): Refusal | null {
  lines.push(`the device is ${device.name} (${device.label}, ${device.id})`);
  if (device.agentId !== null) lines.push('over the link of its agent, or with its certificate, it needs nothing else');
  const keys = tables.keysOfDevice(device.id);
  const hasKey = keys.some((each) => each.kind === 'key');
  const hasCertificate = keys.some((each) => each.kind === 'certificate');
  if (keys.length === 0) {
    if (strangersOf(config, customer).keyless) lines.push('it was given no key, and this customer believes serials alone');
    else if (device.agentId === null) return [401, 'identity', 'it was given no key yet, so it can show none: give it one'];
  } else {
    const shows = [hasKey && secure ? 'its key (X-Postern-Key)' : null, hasKey ? 'a signature (X-Postern-Sign)' : null, hasCertificate && secure ? 'its client certificate' : null].filter((each) => each !== null);
    if (shows.length === 0) return [401, 'identity', 'it is known by a client certificate, which can only be shown over https'];
    lines.push(`it has to show ${shows.join(' or ')}, else it is refused with 401${hasKey && !secure ? '; its key itself is refused over plain http, where everybody reads it' : ''}`);
  }
  return device.locked ? [403, 'lock', 'this device is locked'] : null;
}

function tellStranger({ tables, config }: DeviceKnowledge, { serial, customer, act }: DevicePath, { id }: Customer, lines: string[]): Refusal | null {
  const { policy, quarantineBytes } = strangersOf(config, customer);
  if (policy === 'refuse') return [403, 'strangers', 'no device has this serial here, and this customer refuses unknown ones'];
  const waiting = tables.waitingBySerial(id, serial);
  lines.push(waiting ? `no device has this serial; it waits to be approved since ${new Date(waiting.firstSeenAt).toISOString()}` : 'no device has this serial: it is put among those that wait to be approved');
  if (act === 'check-in') return null;
  if (policy !== 'quarantine' || act !== 'push') return [403, 'strangers', 'until it is approved it may only check in'];
  const left = Math.max(0, (quarantineBytes ?? 0) - (waiting?.bytes ?? 0));
  lines.push(`what it brings is kept in quarantine, ${left} bytes more`);
  return left === 0 ? [403, 'strangers', 'its quarantine is full'] : null;
}

/** Whether it is sent to another server. */
function tellRedirect({ tables, leases }: DeviceKnowledge, { method, from, secure, host, target }: DeviceQuestion, path: DevicePath, device: Device, customer: Customer, lines: string[]): boolean {
  const brings = method === 'POST' || method === 'PUT';
  if (!(path.act === 'check-in' || (brings && (path.act === 'push' || path.act === 'file')))) return false;
  const keys = tables.keysOfDevice(device.id);
  const by = keys.some((each) => each.kind === 'key') ? (secure ? 'key' : 'sign') : keys.length > 0 ? 'certificate' : 'nothing';
  const behind = target.split('?', 1)[0]!;
  const { decision } = leases.preview({ id: device.id, serial: path.serial, name: device.name, customer }, { host, path: behind.slice(behind.indexOf('/', 4) + 1), from, hops: 0, by, secure });
  lines.push(`redirects: ${decision.text}`);
  if (decision.kind === 'stay') return false;
  lines.push(path.act === 'check-in' ? `the answer names the base ${decision.base}; what is here of it is sealed` : `sent to ${decision.base} by rule "${decision.rule?.name}"; what is here of it is sealed, and goes on there`);
  return path.act !== 'check-in';
}

function tellAnswer({ epoch, full, config }: DeviceKnowledge, { method }: DeviceQuestion, path: DevicePath, lines: string[]): void {
  const brings = method === 'POST' || method === 'PUT';
  if (path.act === 'action') return void lines.push('answered with 410: no action is under way');
  if (path.act === 'check-in') return void lines.push('answered with 200: the time, next of each feed that it names, poll and what else it should know');
  if (brings && full !== null) return void lines.push(`answered with 503: ${full}`);
  if (path.act === 'push' || path.act === 'in') {
    const { rule, format, alerts } = feedSettingsOf(config, path.customer, path.serial, path.rest[0]!);
    lines.push(`${rule === null ? 'no entry of feeds is about it' : `feeds: "${rule.name}" is about it`}: ${format} unless it says otherwise${alerts.length > 0 ? `, ${alerts.length} alerts` : ''}`);
  }
  if (path.act === 'file') return void lines.push(brings ? 'stored, as a new version where its content is new' : 'answered with what is known of the file');
  if (path.act === 'in') return void lines.push('stored once for each Idempotency-Key; without a key, each time');
  const next = epoch?.next ?? 0;
  if (epoch && epoch.sealedAt !== null) return void lines.push(`answered with 410 and next=${next}: the epoch went on at ${epoch.sealedTo ?? 'another server'}`);
  if (!brings) return void lines.push(`answered with 200 and next=${next}${epoch ? '' : ': nothing of this epoch is here yet'}; POST brings a batch`);
  lines.push(offsetLine(path, next));
}

function offsetLine({ query }: DevicePath, next: number): string {
  let offset: number;
  try {
    offset = parseOffset(new URLSearchParams(query).get('o'));
  } catch (thrown) {
    if (!isFault(thrown)) throw thrown;
    return `answered with 400: ${thrown.message} (next is ${next})`;
  }
  if (offset > next) return `answered with 409 gap and next=${next}, unless it declares the bytes up to ${offset} lost`;
  if (offset < next) return `up to ${next} it is compared with what is here: equal bytes are passed over as a repeat, others are a conflict`;
  return `stored at ${next}, answered with 200 and the new next`;
}
