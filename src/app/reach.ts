// Ways to a device's port: plain or with TLS, for a browser's visit, for a route that names a device, for the command line.
import type { Duplex } from 'node:stream';
import type { Clock } from '#base/clock.ts';
import { Fault, reasonOf } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import { findDevice } from '#model/labels.ts';
import { refusalToOpen } from '#model/opening.ts';
import { subjectOfDevice, visitorMay } from '#model/rights.ts';
import type { Device, DevicePort } from '#model/rows.ts';
import type { Tables } from '#model/tables.ts';
import type { Visitor } from '#model/visitor.ts';
import { openDeviceTls } from '#net/device-tls.ts';
import type { DialBy } from '#net/dial.ts';
import type { Flow } from '#net/flow.ts';
import type { Visits } from '#proxy/visits.ts';

export interface ReachOptions {
  readonly tables: Tables;
  readonly visits: Visits;
  readonly clock: Clock;
  readonly limits: Limits;
  /** The byte stream to the port, as the agent's host sees it. */
  dial(device: Device, port: DevicePort, by: DialBy): Promise<Duplex>;
  dialFlow(device: Device, port: DevicePort, by: DialBy): Promise<Flow>;
  /** The certificate that an https port without an accepted one showed; answers the fingerprint that counts from now on. */
  acceptFirst(device: Device, port: DevicePort, fingerprint: string): string;
}

export interface Reach {
  /** TLS made where the port speaks it. */
  dialDevice(device: Device, port: DevicePort, by: DialBy): Promise<Duplex>;
  /** For a route; faults `not-found`, `forbidden` beside those of dialling. */
  dialNamed(device: string, port: number, by: DialBy): Promise<Duplex>;
  /** The same without TLS of ours: whoever comes through speaks to the port himself. */
  dialNamedPlain(device: string, port: number, by: DialBy): Promise<Duplex>;
  /** For the command line: the right is judged, the stream is a visit of its own. */
  openForCaller(visitor: Visitor, device: string, port: number, by: DialBy): Promise<Duplex>;
  /** The same for a port of kind udp. */
  openFlowForCaller(visitor: Visitor, device: string, port: number, by: DialBy): Promise<Flow>;
}

export function buildReach(options: ReachOptions): Reach {
  const { tables, visits, clock, limits } = options;
  const dialDevice: Reach['dialDevice'] = async (device, port, by) => {
    const stream = await options.dial(device, port, by);
    if (port.kind !== 'https') return stream;
    return openDeviceTls(stream, { host: device.host, fingerprint: port.fingerprint, onFirst: (fingerprint) => options.acceptFirst(device, port, fingerprint), timeoutMs: by.timeoutMs });
  };
  /** As for browsers: the right to open a device is the right to its ports, not to whatever its agent reaches. */
  const judgeCaller = (visitor: Visitor, text: string, number: number, isUdp: boolean): { device: Device; port: DevicePort } => {
    const maySee = (each: Device) => visitorMay(tables, visitor, 'see', subjectOfDevice(each));
    const device = findDevice(tables, text, clock.nowMs(), maySee);
    const refusal = device && maySee(device) ? refusalToOpen(tables, visitor, device, clock.nowMs(), limits) : null;
    if (refusal) throw refusal;
    if (!device || !maySee(device)) throw new Fault('not-found', `there is no device "${text}"`, { remedy: 'postern devices lists them.' });
    const listed = device.ports.filter((each) => each.number === number);
    const port = listed.find((each) => (each.kind === 'udp') === isUdp);
    if (port) return { device, port };
    if (listed.length === 0) throw new Fault('forbidden', `port ${number} is not among the ports of ${device.name}`, { remedy: 'Whoever administers it adds the port on the device\'s page, or with: postern device set.' });
    throw isUdp
      ? new Fault('forbidden', `port ${number} of ${device.name} is listed as ${listed[0]!.kind}, not as udp`, { remedy: `Ask for it without /udp, or list ${number}/udp among its ports.` })
      : new Fault('forbidden', `port ${number} of ${device.name} is listed as udp`, { remedy: `Use: postern forward DEVICE ${number}/udp` });
  };
  const named = (text: string, number: number): { device: Device; port: DevicePort } => {
    const device = findDevice(tables, text, clock.nowMs());
    if (!device) throw new Fault('not-found', `there is no device "${text}"`);
    if (device.locked) throw new Fault('forbidden', `${device.name} is locked`);
    return { device, port: device.ports.find((each) => each.number === number && each.kind !== 'udp') ?? { number, name: '', kind: 'tcp', fingerprint: null } };
  };
  return {
    dialDevice,
    async dialNamed(text, number, by) {
      const { device, port } = named(text, number);
      return dialDevice(device, port, by);
    },
    async dialNamedPlain(text, number, by) {
      const { device, port } = named(text, number);
      return options.dial(device, port, by);
    },
    async openForCaller(visitor, text, number, by) {
      const { device, port } = judgeCaller(visitor, text, number, false);
      const visit = await visits.open({ visitor, device, port: number, kind: 'tcp', from: by.client });
      try {
        const stream = await options.dial(device, port, { ...by, visitId: visit.id });
        const running = { cut: () => void stream.destroy() };
        visit.running.add(running);
        // Cut while it was dialled: then nobody else knew of the stream.
        if (visit.isClosed) {
          stream.destroy();
          throw new Fault('closed', 'the visit was ended');
        }
        const counted = stream as Duplex & { bytesRead?: number; bytesWritten?: number };
        stream.once('close', () => {
          visit.running.delete(running);
          visit.meter.bytesIn = counted.bytesWritten ?? 0;
          visit.meter.bytesOut = counted.bytesRead ?? 0;
          visit.close('ended');
        });
        return stream;
      } catch (thrown) {
        visit.close(reasonOf(thrown));
        throw thrown;
      }
    },
    async openFlowForCaller(visitor, text, number, by) {
      const { device, port } = judgeCaller(visitor, text, number, true);
      const visit = await visits.open({ visitor, device, port: number, kind: 'udp', from: by.client });
      try {
        const flow = await options.dialFlow(device, port, { ...by, visitId: visit.id });
        const running = { cut: (why: string) => flow.close(new Fault('closed', why)) };
        visit.running.add(running);
        if (visit.isClosed) {
          flow.close('the visit was ended');
          throw new Fault('closed', 'the visit was ended');
        }
        flow.onClosed((end) => {
          visit.running.delete(running);
          visit.meter.bytesIn = flow.counts.sentBytes;
          visit.meter.bytesOut = flow.counts.receivedBytes;
          visit.close(end.fault === undefined ? 'ended' : end.why);
        });
        return flow;
      } catch (thrown) {
        visit.close(reasonOf(thrown));
        throw thrown;
      }
    },
  };
}
