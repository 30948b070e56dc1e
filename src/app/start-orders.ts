// What the start command may order of the gateway it started: each is an operation with an audit line, like a person's.
import type { Clock } from '#base/clock.ts';
import { Fault } from '#base/fault.ts';
import type { Id, Random } from '#base/ids.ts';
import type { InTurn } from '#base/in-turn.ts';
import type { Limits } from '#base/limits.ts';
import { digestOf, newSecret } from '#base/secret.ts';
import type { Operations } from '#model/operations.ts';
import { createdByStart, type Actor, type DevicePort, type JoinToken } from '#model/rows.ts';
import type { Tables } from '#model/tables.ts';

export interface JoinOrder {
  readonly deviceName: string;
  readonly host: string;
  readonly ports: readonly DevicePort[];
}

/** The token's text, and how to use it for each address that agents may dial. */
export interface JoinText {
  readonly text: string;
  readonly commands: readonly { readonly address: string; readonly command: string }[];
}

export interface StartOrders {
  /** A join token as the console would make it. */
  makeJoinToken(order: JoinOrder): Promise<JoinText>;
  /** As the console would change them. Fault `not-found`. */
  changePorts(deviceId: Id, ports: readonly DevicePort[]): Promise<void>;
}

export interface StartOrdersOptions {
  readonly tables: Tables;
  readonly operations: Pick<Operations, 'addJoinToken' | 'changeDevice'>;
  readonly inTurn: InTurn;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: Pick<Limits, 'joinTokenMs'>;
  readonly newId: () => Id;
  readonly customerId: Id;
  describe(secret: string): JoinText;
}

const actor: Actor = { kind: 'operator', id: null, name: 'start command', from: '' };

export function buildStartOrders(options: StartOrdersOptions): StartOrders {
  const { tables, operations, inTurn, clock, customerId } = options;
  return {
    makeJoinToken: (order) =>
      inTurn(async () => {
        const secret = newSecret(options.random);
        const now = clock.nowMs();
        const site = Array.from(tables.sites.values()).find((each) => each.customerId === customerId)!;
        const token: JoinToken = {
          id: options.newId(), customerId, siteId: site.id, secretDigest: digestOf(secret), deviceName: order.deviceName, serial: null, host: order.host, ports: order.ports,
          createdBy: createdByStart, createdAt: now, expiresAt: now + options.limits.joinTokenMs, usedAt: null, usedByAgentId: null,
        };
        await operations.addJoinToken(token, { at: now, customerId, actor, what: 'join-token.created', subjectKind: 'join-token', subjectId: token.id, subjectName: order.deviceName, detail: { expiresAt: token.expiresAt } });
        tables.joinTokens.publish({ put: [token] });
        return options.describe(secret);
      }),
    changePorts: (deviceId, ports) =>
      inTurn(async () => {
        const row = tables.devices.get(deviceId);
        if (!row) throw new Fault('not-found', 'the device is gone');
        const changed = { ...row, ports };
        await operations.changeDevice(changed, { at: clock.nowMs(), customerId, actor, what: 'device.changed', subjectKind: 'device', subjectId: row.id, subjectName: row.name, detail: { ports: ports.map((port) => port.number).join(', ') } });
        tables.devices.publish({ put: [changed] });
      }),
  };
}
