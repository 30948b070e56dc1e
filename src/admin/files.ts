// Files that devices brought, as people look at them. The bytes are hostile: they leave as an attachment that no browser opens here.
import type { FileHandle } from 'node:fs/promises';
import type { FileView } from '#api/file-shapes.ts';
import { Fault } from '#base/fault.ts';
import type { DeviceFile } from '#model/files.ts';
import { findDevice } from '#model/labels.ts';
import { subjectOfDevice, type Subject } from '#model/rights.ts';
import type { Action, Device } from '#model/rows.ts';
import { auditOf, may, mustMay, type Acts, type Anyone, type Asked } from './asked.ts';
import type { FileDeps } from './deps.ts';
import { byId } from './pages.ts';
import type { Room } from './room.ts';
import { storePage, walk } from './seen.ts';

type Names = 'listFiles' | 'getFile' | 'removeFile';

const pieceBytes = 128 * 1024;

function filesOf({ files }: Room): FileDeps {
  if (!files) throw new Fault('unsupported', 'files of devices are not kept here');
  return files;
}

function subjectOf({ tables }: Room, { deviceId, customerId }: DeviceFile): Subject {
  const device = tables.devices.get(deviceId);
  return device ? subjectOfDevice(device) : { customerId };
}

async function fileFor(room: Room, asked: Anyone, id: string, action: Action, what: string): Promise<DeviceFile> {
  const file = await room.operations.readFile(id);
  if (!file || !may(asked, 'see', subjectOf(room, file))) throw new Fault('not-found', 'there is no such file, or you may not see it', { remedy: 'postern files lists them', detail: { hidden: file !== null } });
  mustMay(asked, action, subjectOf(room, file), what);
  return file;
}

const auditedFile = ({ customerId, deviceId }: DeviceFile, device: Device | undefined) => ({ customerId, kind: 'device', id: deviceId, name: device?.name ?? '' });

export function buildFileActs(room: Room): Acts<Names> {
  const { tables, operations } = room;
  return {
    async listFiles(asked) {
      const { cursor, limit, device: text, name, versions } = asked.query;
      const device = text === undefined ? undefined : findDevice(tables, text, room.clock.nowMs(), (each) => may(asked, 'see', subjectOfDevice(each)));
      if (text !== undefined && !device) throw new Fault('not-found', `there is no device ${text}, or you may not see it`, { remedy: 'postern devices lists them' });
      const read = (before: string | undefined) =>
        operations.listFiles({ limit: storePage, newest: versions === 'newest', ...(before === undefined ? {} : { beforeId: before }), ...(device ? { deviceId: device.id } : {}), ...(name === undefined ? {} : { name }) });
      const { items, next } = await walk(cursor, limit, read, byId, (file) => may(asked, 'see', subjectOf(room, file)));
      return { items: items.map((file) => viewFile(room, file)), next };
    },
    async getFile(asked) {
      return viewFile(room, await fileFor(room, asked, asked.params.id, 'see', 'see this file'));
    },
    async removeFile(asked) {
      const file = await fileFor(room, asked, asked.params.id, 'administer', 'remove files of this device');
      const device = tables.devices.get(file.deviceId);
      await filesOf(room).remove(file.id, auditOf(room, asked, 'file.removed', auditedFile(file, device), { file: file.name, bytes: file.bytes, sha256: file.sha256 }));
      return {};
    },
  };
}

function viewFile({ tables }: Room, { id, deviceId, name, bytes, sha256, type, from, createdAt, replacedAt }: DeviceFile): FileView {
  const device = tables.devices.get(deviceId);
  return { id, deviceId, device: device?.name ?? '', serial: device?.serial ?? null, name, bytes, sha256, type, from, createdAt, replacedAt };
}

/** An answer that is no JSON. It is in the audit before a byte leaves. */
export async function downloadFile(room: Room, asked: Asked<'downloadFile'>): Promise<Response> {
  const file = await fileFor(room, asked, asked.params.id, 'see', 'read this file');
  const handle = await filesOf(room).open(file.sha256);
  try {
    await room.operations.addAudit([auditOf(room, asked, 'file.downloaded', auditedFile(file, room.tables.devices.get(file.deviceId)), { file: file.name, bytes: file.bytes, sha256: file.sha256 })]);
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
  return new Response(streamOf(handle), {
    headers: {
      // Whatever the device calls it.
      'content-type': 'application/octet-stream',
      'content-length': String(file.bytes),
      'content-disposition': dispositionOf(file.name),
      'content-security-policy': "sandbox; default-src 'none'; frame-ancestors 'none'",
    },
  });
}

/** RFC 6266 §4.3: a name that every client takes, and the whole one. */
export function dispositionOf(name: string): string {
  const plain = name.replace(/[^A-Za-z0-9._ -]/g, '_').replace(/^[. ]+/, '_');
  const whole = encodeURIComponent(name.toWellFormed()).replace(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
  return `attachment; filename="${plain}"; filename*=UTF-8''${whole}`;
}

function streamOf(handle: FileHandle): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const buffer = Buffer.allocUnsafe(pieceBytes);
        const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
        at += bytesRead;
        if (bytesRead > 0) return controller.enqueue(buffer.subarray(0, bytesRead));
        await handle.close();
        controller.close();
      },
      cancel: () => handle.close(),
    },
    { highWaterMark: 1 },
  );
}
