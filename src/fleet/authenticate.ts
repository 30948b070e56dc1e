// Who a device is (docs/wire/device.md, Identity): its agent's link, a certificate, a key, a signature, or, where its customer
// allows that, its serial alone. What is not known waits, or is refused.
import { isFault } from '#base/fault.ts';
import type { Limits } from '#base/limits.ts';
import type { ConfigStrangers } from '#model/config.ts';
import { afterUse, findProved, guessKeys, type KeyChange, type KeyProof } from '#model/device-keys.ts';
import { fingerprintOf, keyFingerprintOf } from '#model/fingerprint.ts';
import type { Device, DeviceKey } from '#model/rows.ts';
import type { Tables } from '#model/tables.ts';
import type { Throttle } from '#model/throttle.ts';
import { keyOfWaiting, type WaitingDevices } from '#model/waiting-devices.ts';
import { parseContentDigest } from '#wire/device.ts';
import { emptySha256, fieldsToSign, parseRequestSignature, type RequestSignature } from '#wire/device-sign.ts';
import type { Caller, DeviceAnswer, DeviceRequest } from './requests.ts';

export interface Authenticated {
  readonly caller: Caller;
  /** To sign the answer with: the request was signed. */
  readonly sign: { readonly key: string; readonly nonce: string } | null;
  /** A signature was believed for a body that was not read yet: it must turn out to have this digest. */
  readonly bodySha256: string | null;
}

export interface AuthenticateOptions {
  readonly tables: Pick<Tables, 'devices' | 'deviceBySerial' | 'devicesOfAgent' | 'agents' | 'agentCertificates' | 'keysOfDevice' | 'waitingBySerial'>;
  readonly waiting: WaitingDevices;
  readonly throttle: Throttle;
  readonly limits: Limits;
  readonly nowMs: () => number;
  readonly sealingKey: Uint8Array;
  readonly strangersOf: (customerKey: string) => Pick<ConfigStrangers, 'policy' | 'quarantineBytes' | 'keyless'>;
  /** A key was used: what changes by that is written, and nobody waits for it. */
  readonly onKeyUsed: (change: KeyChange) => void;
}

const refuse = (status: number, error: string, why: string, more: Readonly<Record<string, number | boolean>> = {}): DeviceAnswer => ({ status, values: { error, why, ...more } });
const wrong = (why: string): DeviceAnswer => refuse(401, 'unauthenticated', why);

type Shown = { readonly proof: KeyProof | null; readonly signature: RequestSignature | null; readonly bodySha256: string | null };

/** What the request shows of itself. A signature needs the body's digest: from a field that says it, else by reading it. */
async function readProof(request: DeviceRequest, readsBody: boolean, limits: Limits): Promise<Shown | DeviceAnswer> {
  const key = request.header('x-postern-key');
  if (key !== null) {
    if (!request.secure && request.agentId === null) return refuse(401, 'plain-key', 'a key over plain http was read by everybody on the way: use https, or sign', {});
    return { proof: { by: 'key', text: key.trim() }, signature: null, bodySha256: null };
  }
  const signed = request.header('x-postern-sign');
  if (signed !== null) {
    const signature = parseRequestSignature(signed);
    const digest = request.header('content-digest');
    const said = digest === null ? null : parseContentDigest(digest);
    // HTTP/2 needs neither field for a body: where none says that there is none, it is read to know. Else one could be added to a signed request.
    const length = request.header('content-length');
    const hasBody = length === null ? request.header('transfer-encoding') !== null || !['GET', 'HEAD'].includes(request.method) : length.trim() !== '0';
    if (said === null && hasBody && !readsBody) return refuse(401, 'unauthenticated', 'a signed upload needs Content-Digest: its body is not read before it is known who sends it');
    const bodySha256 = said ?? (hasBody ? (await request.body(limits.pushBodyBytesMax)).rawSha256 : emptySha256);
    return { proof: { by: 'sign', signature, request: { method: request.method, target: request.target, bodySha256, fields: fieldsToSign((name) => request.header(name)) } }, signature, bodySha256: said };
  }
  if (request.certificate !== null) return { proof: { by: 'certificate', spki: keyFingerprintOf(request.certificate) }, signature: null, bodySha256: null };
  return { proof: null, signature: null, bodySha256: null };
}

export function buildAuthenticate(options: AuthenticateOptions): (request: DeviceRequest, readsBody: boolean) => Promise<Authenticated | DeviceAnswer> {
  const { tables, limits } = options;

  /** The agent that stands behind a request: by its link, or by its certificate. */
  const agentBehind = (request: DeviceRequest): string | null => {
    if (request.agentId !== null) return tables.agents.get(request.agentId)?.state === 'active' ? request.agentId : null;
    if (request.certificate === null) return null;
    const kept = tables.agentCertificates.get(fingerprintOf(request.certificate));
    if (!kept || kept.revokedAt !== null || kept.notAfter < options.nowMs()) return null;
    return tables.agents.get(kept.agentId)?.state === 'active' ? kept.agentId : null;
  };

  /** A device of the agent: by serial, and where it has none by label or id, which is what an agent knows of itself. */
  const deviceOfAgent = (agentId: string, serial: string, customerId: string): Device | undefined =>
    tables.devicesOfAgent(agentId).find((each) => each.customerId === customerId && (each.serial === serial || (each.serial === null && (each.label === serial || each.id === serial))));

  const known = async (request: DeviceRequest, device: Device, readsBody: boolean): Promise<Authenticated | DeviceAnswer> => {
    const guess = guessKeys(device.customerId, request.serial, request.countedAs ?? request.from);
    options.throttle.check(guess);
    const shown = await readProof(request, readsBody, limits);
    if ('status' in shown) return shown;
    const rows = tables.keysOfDevice(device.id);
    const proved = shown.proof === null ? null : findProved(rows, shown.proof, options.sealingKey);
    if (proved === null) {
      const secret = shown.proof !== null && shown.proof.by !== 'certificate';
      // Only for a device that has nothing to prove itself by, no agent either: else leaving the key out would be a way around it.
      if (secret || rows.length > 0 || device.agentId !== null || !options.strangersOf(request.customer.key).keyless) {
        if (secret) options.throttle.attempt(guess);
        return wrong(shown.proof === null ? 'this device has to show its key, a signature or its certificate' : 'the key, the signature or the certificate is not one of this device');
      }
    } else {
      if (shown.proof?.by !== 'certificate') options.throttle.succeeded(guess);
      const change = afterUse(rows, proved.row, options.nowMs());
      if (change !== null) options.onKeyUsed(change);
    }
    if (device.locked) return refuse(403, 'locked', 'this device is locked', { retry: 3_600 });
    const sign = shown.signature !== null && proved !== null && proved.text !== null ? { key: proved.text, nonce: shown.signature.nonce } : null;
    return { caller: { kind: 'device', device, by: proved === null ? 'nothing' : shown.proof!.by }, sign, bodySha256: shown.bodySha256 };
  };

  const stranger = async (request: DeviceRequest, readsBody: boolean): Promise<Authenticated | DeviceAnswer> => {
    const rules = options.strangersOf(request.customer.key);
    if (rules.policy === 'refuse') return refuse(403, 'unknown', 'no device has this serial here, and unknown ones are refused', { retry: 3_600 });
    const standing = tables.waitingBySerial(request.customer.id, request.serial);
    const guess = guessKeys(request.customer.id, request.serial, request.countedAs ?? request.from);
    options.throttle.check(guess);
    const shown = await readProof(request, readsBody, limits);
    if ('status' in shown) return shown;
    const key: DeviceKey | null = standing ? keyOfWaiting(standing) : null;
    const proved = key === null || shown.proof === null ? null : findProved([key], shown.proof, options.sealingKey);
    const keyText = shown.proof?.by === 'key' ? shown.proof.text : null;
    try {
      const waiting = await options.waiting.knock({
        customerId: request.customer.id, serial: request.serial, from: request.from, product: request.header('user-agent') ?? '', name: request.header('x-postern-name') ?? '', keyText, proved: proved !== null,
      });
      const sign = shown.signature !== null && proved !== null && proved.text !== null ? { key: proved.text, nonce: shown.signature.nonce } : null;
      return { caller: { kind: 'waiting', waiting, quarantineBytes: rules.policy === 'quarantine' ? rules.quarantineBytes : null }, sign, bodySha256: shown.bodySha256 };
    } catch (thrown) {
      if (isFault(thrown, 'unauthenticated')) {
        options.throttle.attempt(guess);
        return wrong(thrown.message);
      }
      throw thrown;
    }
  };

  return async (request, readsBody) => {
    const agentId = agentBehind(request);
    const own = agentId === null ? undefined : deviceOfAgent(agentId, request.serial, request.customer.id);
    if (own) {
      if (own.locked) return refuse(403, 'locked', 'this device is locked', { retry: 3_600 });
      // A signature is answered by one, whatever else proved who it is.
      const signed = request.header('x-postern-sign');
      const shown = signed === null ? null : await readProof(request, readsBody, limits);
      if (shown !== null && 'status' in shown) return shown;
      const proved = shown === null || shown.proof === null ? null : findProved(tables.keysOfDevice(own.id), shown.proof, options.sealingKey);
      const sign = shown !== null && shown.signature !== null && proved !== null && proved.text !== null ? { key: proved.text, nonce: shown.signature.nonce } : null;
      return { caller: { kind: 'device', device: own, by: 'agent' }, sign, bodySha256: null };
    }
    if (request.agentId !== null) return refuse(403, 'unknown', 'no device of this agent has this serial', { retry: 3_600 });
    const device = tables.deviceBySerial(request.customer.id, request.serial);
    return device ? known(request, device, readsBody) : stranger(request, readsBody);
  };
}

