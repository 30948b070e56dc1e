// The act `file` (docs/wire/device.md §7): named files of devices, whole or in parts.
import { Fault, isFault } from '#base/fault.ts';
import type { Upload } from '#model/files.ts';
import { checkFileName, parseContentDigest, type Values } from '#wire/device.ts';
import { encodeDigest, encodeUploadBoolean, encodeUploadLimit, parseUploadBoolean, parseUploadInteger, partialUploadType, problemTypes, uploadInteropVersion } from '#wire/upload.ts';
import type { Files, Incoming, StoredFile } from './files.ts';
import type { Act, DeviceAnswer, DeviceRequest } from './requests.ts';
import { completedFault, lengthFault, type Uploads } from './uploads.ts';

export interface FileDeps {
  readonly files: Files;
  readonly uploads: Uploads;
}

type Fields = Readonly<Record<string, string>>;

const fullRetrySeconds = 3_600;
const waitingRetrySeconds = 600;

export function buildFile(deps: FileDeps): Act {
  return async (request, caller) => {
    const [name, uploadId, ...more] = request.rest;
    if (name === undefined || more.length > 0) throw new Fault('not-found', 'the path is file/SERIAL/NAME; a slash in a name is percent-encoded nowhere here');
    checkFileName(name);
    if (request.method === 'OPTIONS') return { status: 200, values: {}, fields: { 'Accept-Patch': partialUploadType, 'Upload-Limit': limitOf(deps, null), Allow: 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS' } };
    if (caller.kind === 'waiting') return { status: 403, values: { error: 'waiting', why: 'this device waits for approval', waiting: true, retry: waitingRetrySeconds } };
    const incoming: Incoming = { device: caller.device, name, type: contentTypeOf(request), from: request.from };
    if (uploadId !== undefined) return withFaults(deps, request, () => onUpload(deps, request, incoming, uploadId));
    switch (request.method) {
      case 'GET':
      case 'HEAD':
        return describe(deps, incoming);
      case 'PUT':
        return put(deps, request, incoming);
      default:
        return { status: 405, values: { error: 'unsupported', why: 'a file takes PUT, and GET to ask' }, fields: { Allow: 'GET, HEAD, PUT, OPTIONS' } };
    }
  };
}

const limitOf = ({ files }: FileDeps, upload: Upload | null): string =>
  encodeUploadLimit({ maxSize: files.limits.fileBytesMax, ...(upload === null ? {} : { maxAge: (upload.expiresAt - files.clock.nowMs()) / 1_000 }) });

/** Kept for people to see; never believed, and nothing but printable ASCII. */
const contentTypeOf = (request: DeviceRequest): string => (request.header('content-type') ?? '').replace(/[^ -~]/g, '').slice(0, 200);

async function describe({ files }: FileDeps, { device, name }: Incoming): Promise<DeviceAnswer> {
  const file = await files.operations.newestFile(device.id, name);
  if (!file) return { status: 404, values: { error: 'not-found', why: 'this device has no file of that name here' } };
  return { status: 200, values: { bytes: file.bytes, sha256: file.sha256, stored: Math.floor(file.createdAt / 1_000) }, fields: { 'Repr-Digest': encodeDigest(file.sha256), 'X-Postern-SHA256': file.sha256 } };
}

/** What makes a body something other than the file itself. */
function refuseForm(request: DeviceRequest): DeviceAnswer | null {
  const encoding = request.header('content-encoding');
  if (encoding !== null && encoding.trim().toLowerCase() !== 'identity') return { status: 415, values: { error: 'unsupported', why: 'a file is stored as it comes: send it without Content-Encoding, compressed as a file where need be' }, fields: { 'Accept-Encoding': 'identity' } };
  // RFC 9110 §14.5: a part must not be taken for the whole; curl sends one with -C and -T.
  if (request.header('content-range') !== null) return { status: 400, values: { error: 'bad-input', why: 'Content-Range is not understood with PUT: large files go in parts as resumable uploads' } };
  if (request.header('content-length') === null && request.header('transfer-encoding') === null) return { status: 411, values: { error: 'bad-input', why: 'a body needs Content-Length, or comes in chunks' } };
  return null;
}

/** Digests, in hex, that the whole must have. Fault `bad-input`. */
function digestsOf(request: DeviceRequest, ...fields: readonly string[]): string[] {
  const found: string[] = [];
  const own = request.header('x-postern-sha256');
  if (own !== null && fields.includes('x-postern-sha256')) {
    if (!/^[0-9a-f]{64}$/i.test(own.trim())) throw new Fault('bad-input', 'X-Postern-SHA256 is 64 hex digits');
    found.push(own.trim().toLowerCase());
  }
  for (const field of fields.filter((each) => each.endsWith('digest'))) {
    const text = request.header(field);
    const digest = text === null ? null : parseContentDigest(text);
    if (digest !== null) found.push(digest);
  }
  return found;
}

function put(deps: FileDeps, request: DeviceRequest, incoming: Incoming): Promise<DeviceAnswer> {
  const { files } = deps;
  return withFaults(deps, request, async () => {
    const refused = refuseForm(request);
    if (refused) return refused;
    const declared = parseUploadInteger(request.header('content-length'));
    const completes = parseUploadBoolean(request.header('upload-complete'));
    const length = lengthOf(request, completes === true, 0);
    if ((length ?? declared ?? 0) > files.limits.fileBytesMax) throw new Fault('too-large', `a file has at most ${files.limits.fileBytesMax} bytes here`);
    const leave = files.enter(incoming.device.id);
    try {
      // Who cannot be told of an upload cannot resume it (the draft's appendix on versions): then it is a PUT like any other.
      if (completes !== null && (!completes || speaksDraft(request))) return await create(deps, request, incoming, completes, length);
      return told(await files.takeWhole(incoming, request.pieces(), digestsOf(request, 'x-postern-sha256', 'content-digest', 'repr-digest')));
    } finally {
      leave();
    }
  });
}

const speaksDraft = (request: DeviceRequest): boolean => !request.http10 && parseUploadInteger(request.header('upload-draft-interop-version')) === uploadInteropVersion;

/** Of the whole, by `Upload-Length` or by the length of what completes it (§4.1.3). Fault `bad-input` when they differ. */
function lengthOf(request: DeviceRequest, completes: boolean, offset: number): number | null {
  const said = parseUploadInteger(request.header('upload-length'));
  const body = parseUploadInteger(request.header('content-length'));
  const meant = completes && body !== null ? offset + body : null;
  if (said !== null && meant !== null && said !== meant) throw lengthFault(`Upload-Length says ${said}, the length of this body ${meant}`);
  return said ?? meant;
}

function told({ kind, file }: StoredFile): DeviceAnswer {
  const values = { bytes: file.bytes, sha256: file.sha256 };
  const fields = { 'Repr-Digest': encodeDigest(file.sha256) };
  return kind === 'repeat' ? { status: 200, values: { repeat: true, ...values }, fields } : { status: 201, values: { stored: true, ...values }, fields };
}

async function create(deps: FileDeps, request: DeviceRequest, incoming: Incoming, completes: boolean, length: number | null): Promise<DeviceAnswer> {
  const [sha256 = null] = digestsOf(request, 'repr-digest', ...(completes ? ['x-postern-sha256'] : []));
  const upload = await deps.uploads.begin(incoming, { length, sha256 });
  const location = `${request.target.split('?', 1)[0]!}/${upload.id}`;
  const fields = { Location: location, 'Upload-Limit': limitOf(deps, upload) };
  if (speaksDraft(request)) request.interim(104, { ...fields, 'Upload-Draft-Interop-Version': String(uploadInteropVersion) });
  const answer = await append(deps, request, incoming, upload, { completes, offset: 0, length });
  return { ...answer, status: completes ? answer.status : 201, fields: { ...(completes ? {} : fields), ...answer.fields } };
}

async function append({ uploads, files }: FileDeps, request: DeviceRequest, { device, from }: Incoming, upload: Upload, { completes, offset, length }: { readonly completes: boolean; readonly offset: number; readonly length: number | null }): Promise<DeviceAnswer> {
  const draft = speaksDraft(request);
  const progress = (received: number) => draft && request.interim(104, { 'Upload-Offset': String(received), 'Upload-Draft-Interop-Version': String(uploadInteropVersion) });
  const [sha256 = null] = digestsOf(request, 'content-digest');
  const { received, stored } = await uploads.append(upload.id, device, from, { pieces: request.pieces(), completes, offset, length, sha256, onlyWhole: request.header('x-postern-sign') !== null, progress: (at) => void progress(at) });
  const state = { 'Upload-Offset': String(received), 'Upload-Complete': encodeUploadBoolean(stored !== null) };
  if (stored !== null) {
    const answer = told(stored);
    return { ...answer, fields: { ...answer.fields, ...state } };
  }
  return { status: 200, values: { offset: received }, fields: { ...state, 'Upload-Limit': limitOf({ uploads, files }, upload) } };
}

async function onUpload(deps: FileDeps, request: DeviceRequest, incoming: Incoming, id: string): Promise<DeviceAnswer> {
  const upload = await deps.uploads.find(id, incoming.device, incoming.name);
  if (!upload) return { status: 404, values: { error: 'not-found', why: 'there is no such upload, or not any more: begin again with PUT' } };
  switch (request.method) {
    case 'GET':
    case 'HEAD': {
      const length: Fields = upload.length === null ? {} : { 'Upload-Length': String(upload.length) };
      return {
        status: 200,
        values: { offset: upload.received, complete: upload.completedAt !== null },
        fields: { 'Upload-Offset': String(upload.received), 'Upload-Complete': encodeUploadBoolean(upload.completedAt !== null), ...length, 'Upload-Limit': limitOf(deps, upload) },
      };
    }
    case 'PATCH':
      return patch(deps, request, incoming, upload);
    case 'DELETE':
      await deps.uploads.cancel(upload);
      return { status: 200, values: { cancelled: true } };
    default:
      return { status: 405, values: { error: 'unsupported', why: 'an upload takes HEAD, PATCH and DELETE' }, fields: { Allow: 'GET, HEAD, PATCH, DELETE, OPTIONS' } };
  }
}

async function patch(deps: FileDeps, request: DeviceRequest, incoming: Incoming, upload: Upload): Promise<DeviceAnswer> {
  if (contentTypeOf(request).split(';', 1)[0]!.trim().toLowerCase() !== partialUploadType) return { status: 415, values: { error: 'unsupported', why: `PATCH takes ${partialUploadType}` }, fields: { 'Accept-Patch': partialUploadType } };
  const offset = parseUploadInteger(request.header('upload-offset'));
  const completes = parseUploadBoolean(request.header('upload-complete'));
  if (offset === null || completes === null) throw new Fault('bad-input', 'PATCH needs Upload-Offset (an integer) and Upload-Complete (?0 or ?1)');
  const body = parseUploadInteger(request.header('content-length'));
  if (upload.completedAt !== null) throw body === 0 ? completedFault(upload) : lengthFault('this upload is complete: nothing can be appended');
  if (offset !== upload.received) throw new Fault('conflict', `the upload stands at ${upload.received}, not at ${offset}`, { detail: { expected: upload.received, provided: offset } });
  const leave = deps.files.enter(incoming.device.id);
  try {
    return await append(deps, request, incoming, upload, { completes, offset, length: lengthOf(request, completes, offset) });
  } finally {
    leave();
  }
}

/** A problem document for who speaks the draft, or JSON; lines as everywhere for the others. */
function problemAnswer({ files }: FileDeps, request: DeviceRequest, status: number, [type, title]: readonly [string, string], values: Values, fields: Fields = {}): DeviceAnswer {
  const wanted = request.header('upload-draft-interop-version') !== null || /json/i.test(request.header('accept') ?? '');
  return { status, values, fields, ...(wanted ? { body: { type: 'application/problem+json', text: `${JSON.stringify({ type, title, status, time: files.clock.nowMs() / 1_000, ...values })}\n` } } : {}) };
}

async function withFaults(deps: FileDeps, request: DeviceRequest, work: () => Promise<DeviceAnswer>): Promise<DeviceAnswer> {
  try {
    return await work();
  } catch (thrown) {
    if (!isFault(thrown)) throw thrown;
    const { code, detail, message } = thrown;
    if (code === 'too-large') return { status: 413, values: { error: 'too-large', why: message, max: deps.files.limits.fileBytesMax }, fields: { 'Upload-Limit': limitOf(deps, null) } };
    if (detail['full'] === true) return { status: 507, values: { error: 'full', why: message, retry: fullRetrySeconds } };
    if (detail['digest'] === true) return { status: 422, values: { error: 'digest', why: message } };
    if (detail['length'] === true) return problemAnswer(deps, request, 400, [problemTypes.length, 'inconsistent length values for upload'], { error: 'length', why: message });
    if (detail['completed'] === true) return problemAnswer(deps, request, 410, [problemTypes.complete, 'upload is already completed'], { error: 'gone', why: message }, { 'Upload-Complete': '?1', 'Upload-Offset': String(detail['length']) });
    if (code === 'conflict' && typeof detail['expected'] === 'number') {
      const [expected, provided] = [detail['expected'], Number(detail['provided'])];
      return problemAnswer(deps, request, 409, [problemTypes.offset, 'offset from request does not match offset of resource'], { error: 'offset', why: message, expected, provided, 'expected-offset': expected, 'provided-offset': provided }, { 'Upload-Offset': String(expected) });
    }
    throw thrown;
  }
}
