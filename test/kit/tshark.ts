// tshark as a judge of first packets: messages in, named fields of its dissection out.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A capture of one TCP segment for each message, every one a conversation of its own. */
function capture(messages: readonly Buffer[], port: number): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(65_535, 16);
  head.writeUInt32LE(101, 20); // raw IP
  const packets = messages.map((message, index) => {
    const packet = Buffer.alloc(16 + 40 + message.length);
    packet.writeUInt32LE(index + 1, 0);
    packet.writeUInt32LE(40 + message.length, 8);
    packet.writeUInt32LE(40 + message.length, 12);
    const ip = packet.subarray(16);
    ip[0] = 0x45;
    ip.writeUInt16BE(40 + message.length, 2);
    ip[8] = 64;
    ip[9] = 6;
    ip.set([192, 0, 2, 1], 12);
    ip.set([192, 0, 2, 2], 16);
    const tcp = ip.subarray(20);
    tcp.writeUInt16BE(10_000 + index, 0);
    tcp.writeUInt16BE(port, 2);
    tcp.writeUInt32BE(1, 4);
    tcp[12] = 0x50;
    tcp[13] = 0x18;
    tcp.writeUInt16BE(8_192, 14);
    message.copy(tcp, 20);
    return packet;
  });
  return Buffer.concat([head, ...packets]);
}

/** `fields` names tshark's fields as the test calls them; a field that a message does not have is an empty list. */
export function readWithTshark<const Fields extends Readonly<Record<string, string>>>(
  tshark: string,
  messages: readonly Buffer[],
  port: number,
  fields: Fields,
): { readonly [Name in keyof Fields]: readonly string[] }[] {
  const folder = mkdtempSync(join(tmpdir(), 'postern-tshark-'));
  try {
    const file = join(folder, 'messages.pcap');
    writeFileSync(file, capture(messages, port));
    const wanted = Object.values(fields).flatMap((field) => ['-e', field]);
    // Its settings live in the home folder: those of whoever runs the tests must not count.
    const text = execFileSync(tshark, ['-n', '-r', file, '-T', 'json', ...wanted], { encoding: 'utf8', maxBuffer: 64 << 20, stdio: ['ignore', 'pipe', 'ignore'], env: { ...process.env, HOME: folder } });
    const packets = JSON.parse(text) as { _source: { layers: Record<string, string[]> } }[];
    assert.equal(packets.length, messages.length);
    return packets.map(({ _source: { layers } }) => Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, layers[field] ?? []])) as { [Name in keyof Fields]: string[] });
  } finally {
    rmSync(folder, { recursive: true });
  }
}
