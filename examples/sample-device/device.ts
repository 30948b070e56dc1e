// A small device to try a gateway with: the page of a printer, as devices have one. Live readings over server-sent events, a form
// that posts, a download with ranges, a WebSocket echo, and the headers that arrived, so that one sees what the gateway does.
// Runs by itself too: node examples/sample-device/device.ts [--port 8081] [--host 127.0.0.1]
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { isFault } from '#base/fault.ts';
import { acceptKeyOf, buildFrameParser, closeCodeOf, CloseCode, encodeClose, encodeFrame, Opcode } from '#wire/websocket.ts';

export interface SampleDevice {
  readonly port: number;
  close(): Promise<void>;
}

interface Settings {
  name: string;
  tray: 'A4' | 'A5' | 'Letter';
}

interface Reading {
  readonly at: number;
  readonly temperature: number;
  readonly pages: number;
  readonly toner: number;
}

const readingEveryMs = 1_000;
const readingsKept = 90;
const formBytesMax = 4 * 1024;
const echoBytesMax = 1024 * 1024;

const asset = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8');
const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

/** The journal that can be downloaded: the same bytes at every start, so that digests can be compared. */
function buildJournal(): { bytes: Buffer; digest: Buffer } {
  const lines = ['job;pages;tray;seconds'];
  for (let job = 1; job <= 100_000; job++) lines.push(`${job};${(job * 7919) % 40};${['A4', 'A5', 'Letter'][job % 3]};${(job * 104_729) % 600}`);
  const bytes = Buffer.from(`${lines.join('\n')}\n`);
  return { bytes, digest: createHash('sha256').update(bytes).digest() };
}

/** What the sensors say: warms up while it prints. */
function buildSensors() {
  const readings: Reading[] = [];
  let temperature = 41;
  let pages = 18_204;
  const read = (at: number): Reading => {
    const isPrinting = Math.floor(at / 9_000) % 3 !== 2;
    temperature += (isPrinting ? 62 - temperature : 40 - temperature) * 0.06 + (Math.random() - 0.5) * 0.9;
    if (isPrinting) pages += Math.random() < 0.6 ? 1 : 0;
    const reading = { at, temperature: Math.round(temperature * 10) / 10, pages, toner: Math.max(4, Math.round(100 - (pages % 9_000) / 95)) };
    readings.push(reading);
    if (readings.length > readingsKept) readings.shift();
    return reading;
  };
  const now = Date.now();
  for (let ago = readingsKept; ago > 0; ago--) read(now - ago * readingEveryMs);
  return { readings, read };
}

/** One range (RFC 9110 §14.1.2): `null` whole, `false` not satisfiable. More than one is answered whole, as the RFC allows. */
function parseRange(value: string | undefined, size: number): { from: number; to: number } | null | false {
  const match = /^bytes=(\d*)-(\d*)$/.exec(value ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return null;
  const [first, last] = [match[1]!, match[2]!];
  if (first === '') return Number(last) === 0 ? false : { from: Math.max(0, size - Number(last)), to: size - 1 };
  const from = Number(first);
  const to = last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== '' && Number(last) < from) return null;
  return from >= size ? false : { from, to };
}

function sendDownload(request: IncomingMessage, response: ServerResponse, { bytes, digest }: { bytes: Buffer; digest: Buffer }): void {
  const etag = `"${digest.toString('hex').slice(0, 16)}"`;
  const ifRange = request.headers['if-range'];
  const range = ifRange === undefined || ifRange === etag ? parseRange(request.headers.range, bytes.length) : null;
  response.setHeader('Accept-Ranges', 'bytes');
  response.setHeader('ETag', etag);
  if (range === false) {
    response.writeHead(416, { 'Content-Range': `bytes */${bytes.length}`, 'Content-Length': 0 }).end();
    return;
  }
  const part = range ? bytes.subarray(range.from, range.to + 1) : bytes;
  response.writeHead(range ? 206 : 200, {
    'Content-Type': 'text/csv; charset=utf-8',
    'Content-Length': part.length,
    'Content-Disposition': 'attachment; filename="journal.csv"',
    // RFC 9530: of the whole file, whatever part is sent.
    'Repr-Digest': `sha-256=:${digest.toString('base64')}:`,
    ...(range ? { 'Content-Range': `bytes ${range.from}-${range.to}/${bytes.length}` } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : part);
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams | null> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > formBytesMax) return null;
    parts.push(part);
  }
  return new URLSearchParams(Buffer.concat(parts).toString());
}

function sendText(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'Content-Type': `${type}; charset=utf-8`, 'Content-Length': Buffer.byteLength(text), 'Cache-Control': 'no-cache' });
  response.end(text);
}

function headerRows(request: IncomingMessage): string {
  const rows: string[] = [];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const [name, value] = [request.rawHeaders[i]!, request.rawHeaders[i + 1]!];
    const isGateways = /^(host|forwarded|x-forwarded-.*|via)$/i.test(name);
    // A page must not show what signs somebody in, not even to the one it belongs to: screens are shared.
    const shown = /^(cookie|authorization)$/i.test(name) ? `${value.length} characters` : value;
    rows.push(`<tr${isGateways ? ' class="gateway"' : ''}><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(shown)}</td></tr>`);
  }
  return rows.join('\n');
}

/** RFC 6455: every message comes back as it was. */
function echo(request: IncomingMessage, socket: Socket, head: Buffer): void {
  const key = request.headers['sec-websocket-key'];
  if (request.method !== 'GET' || request.url?.split('?')[0] !== '/echo' || key === undefined || request.headers['sec-websocket-version'] !== '13') {
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  socket.setNoDelay(true);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptKeyOf(key)}\r\n\r\n`);
  let pieces: Buffer[] = [];
  let bytes = 0;
  const leave = (code: number, why: string) => socket.end(encodeFrame(Opcode.close, encodeClose(code, why)));
  const parser = buildFrameParser({ expectMask: true, frameBytesMax: echoBytesMax }, {
    onData(piece, isText, last) {
      if (socket.writableEnded) return;
      bytes += piece.length;
      if (bytes > echoBytesMax) return void leave(CloseCode.tooBig, 'too long for an echo');
      pieces.push(Buffer.from(piece));
      if (!last) return;
      socket.write(encodeFrame(isText ? Opcode.text : Opcode.binary, Buffer.concat(pieces)));
      pieces = [];
      bytes = 0;
    },
    onControl(opcode, payload) {
      if (opcode === Opcode.ping) socket.write(encodeFrame(Opcode.pong, payload));
      else if (opcode === Opcode.close) socket.end(encodeFrame(Opcode.close, payload));
    },
  });
  const push = (chunk: Buffer) => {
    // What the client was still sending is read and dropped: closing over unread bytes resets the connection, and the close frame is lost.
    if (socket.writableEnded) return;
    try {
      parser.push(chunk);
    } catch (thrown) {
      leave(isFault(thrown) ? closeCodeOf(thrown) : CloseCode.internal, 'broken frame');
    }
  };
  socket.on('error', () => socket.destroy());
  socket.on('data', push);
  if (head.length > 0) push(head);
}

interface Room {
  readonly settings: Settings;
  readonly journal: ReturnType<typeof buildJournal>;
  readonly sensors: ReturnType<typeof buildSensors>;
  /** Whoever listens to the readings. */
  readonly listening: Set<ServerResponse>;
}

const files: Readonly<Record<string, readonly [type: string, text: string]>> = {
  '/style.css': ['text/css', asset('style.css')],
  '/page.js': ['text/javascript', asset('page.js')],
  '/icon.svg': ['image/svg+xml', asset('icon.svg')],
};
const template = asset('page.html');

function sendPage({ settings, journal }: Room, request: IncomingMessage, response: ServerResponse, saved: boolean): void {
  const values: Record<string, string> = {
    name: escapeHtml(settings.name),
    saved: saved ? '<p class="saved" role="status">Saved. The printer answered with a redirect to this page.</p>' : '',
    digest: journal.digest.toString('hex'),
    size: (journal.bytes.length / 1e6).toFixed(1),
    headers: headerRows(request),
    peer: escapeHtml(request.socket.remoteAddress ?? ''),
  };
  for (const tray of ['A4', 'A5', 'Letter']) values[`is${tray}`] = settings.tray === tray ? ' selected' : '';
  response.setHeader('Content-Security-Policy', "default-src 'self'; base-uri 'none'; frame-ancestors 'self'");
  sendText(response, 200, 'text/html', template.replace(/\{\{(\w+)\}\}/g, (_, key: string) => values[key] ?? ''));
}

function sendReadings({ sensors, listening }: Room, request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' });
  response.write(`retry: 2000\nevent: history\ndata: ${JSON.stringify(sensors.readings)}\n\n`);
  listening.add(response);
  request.on('close', () => listening.delete(response));
}

async function save({ settings }: Room, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const form = await readForm(request);
  const name = form?.get('name')?.trim() ?? '';
  const tray = form?.get('tray');
  if (form === null || name === '' || name.length > 40 || (tray !== 'A4' && tray !== 'A5' && tray !== 'Letter')) {
    sendText(response, 400, 'text/plain', 'The name has 1 to 40 characters, the tray holds A4, A5 or Letter.\n');
    return;
  }
  settings.name = name;
  settings.tray = tray;
  // Absolute, with the Host it was asked under, and a cookie for its own path: as old devices do it.
  response.setHeader('Set-Cookie', `tray=${tray}; Path=/`);
  response.writeHead(303, { Location: `http://${request.headers.host ?? 'localhost'}/?saved`, 'Content-Length': 0 }).end();
}

async function answer(room: Room, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [path = '/', query] = (request.url ?? '/').split('?');
  if (path === '/settings' && request.method === 'POST') return save(room, request, response);
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', path === '/settings' ? 'POST' : 'GET, HEAD');
    return sendText(response, 405, 'text/plain', 'Not here.\n');
  }
  if (path === '/') return sendPage(room, request, response, query === 'saved');
  if (path === '/events') return sendReadings(room, request, response);
  if (path === '/journal.csv') return sendDownload(request, response, room.journal);
  if (path === '/status.json') return sendText(response, 200, 'application/json', `${JSON.stringify({ ...room.settings, ...room.sensors.readings.at(-1) })}\n`);
  const file = files[path];
  return file ? sendText(response, 200, file[0], file[1]) : sendText(response, 404, 'text/plain', 'There is no such page on this printer.\n');
}

/** Listens; port 0 takes a free one. `close` ends everything that is still open. */
export async function startSampleDevice(options: { port?: number; host?: string } = {}): Promise<SampleDevice> {
  const room: Room = { settings: { name: 'Sample printer', tray: 'A4' }, journal: buildJournal(), sensors: buildSensors(), listening: new Set() };
  const upgraded = new Set<Socket>();
  const server = createServer((request, response) => {
    response.setHeader('Server', 'SamplePrinter/1.0');
    answer(room, request, response).catch(() => response.destroy());
  });
  server.on('upgrade', (request, socket, head) => {
    upgraded.add(socket as Socket);
    socket.on('close', () => upgraded.delete(socket as Socket));
    echo(request, socket as Socket, head);
  });
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1');
  await once(server, 'listening');
  const ticking = setInterval(() => {
    const text = `event: reading\ndata: ${JSON.stringify(room.sensors.read(Date.now()))}\n\n`;
    for (const response of room.listening) response.write(text);
  }, readingEveryMs);
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      clearInterval(ticking);
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      for (const socket of upgraded) socket.destroy();
      await closed;
    },
  };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { port: { type: 'string', default: '8081' }, host: { type: 'string', default: '127.0.0.1' } } });
  const device = await startSampleDevice({ port: Number(values.port), host: values.host });
  process.stdout.write(`sample device on http://${values.host}:${device.port}/\n`);
  // Started with a channel, it ends with whoever started it.
  if (process.channel) {
    process.once('disconnect', () => void device.close());
    process.channel.unref();
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void device.close());
}
