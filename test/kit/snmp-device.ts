// A device that speaks SNMP v1 and v2c as badly as a test wants, and answers discovery. Its values are integers, by OID.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { derAt, derParts, integer, octets, oid, sequence, tagged, tlv } from '#wire/der.ts';
import { oidText, unknownEngineIds } from '#wire/snmp-discovery.ts';

export interface SnmpQuestion {
  readonly version: number;
  readonly community: string;
  readonly kind: 'get' | 'next' | 'bulk';
  readonly id: number;
  readonly oids: readonly string[];
  /** GETBULK's. */
  readonly count: number;
}

export interface SnmpReply {
  readonly status?: number;
  /** In the order of the answer; null: noSuchInstance. */
  readonly values: readonly (readonly [oid: string, value: number | null])[];
}

export interface SnmpDevice {
  readonly port: number;
  readonly address: string;
  /** Datagrams that came. */
  readonly heard: readonly Buffer[];
  readonly questions: readonly SnmpQuestion[];
  [Symbol.asyncDispose](): Promise<void>;
}

const kinds: Readonly<Record<number, SnmpQuestion['kind']>> = { 0xa0: 'get', 0xa1: 'next', 0xa5: 'bulk' };

const numberOf = (bytes: Buffer): number => bytes.readIntBE(0, bytes.length);

export function readQuestion(datagram: Buffer): SnmpQuestion | null {
  const [version, community, pdu] = derParts(derAt(datagram)!.value) ?? [];
  const kind = kinds[pdu?.tag ?? 0];
  if (!version || !community || !pdu || !kind || community.tag !== 0x04) return null;
  const [id, , second, list] = derParts(pdu.value)!;
  const oids = derParts(list!.value)!.map((each) => oidText(derAt(each.value)!.value)!);
  return { version: numberOf(version.value), community: community.value.toString(), kind, id: numberOf(id!.value), oids, count: numberOf(second!.value) };
}

export function encodeReply({ version, community, id }: Pick<SnmpQuestion, 'version' | 'community' | 'id'>, { status = 0, values }: SnmpReply): Buffer {
  const bindings = values.map(([name, value]) => sequence(oid(name), value === null ? tlv(0x81) : integer(value)));
  return sequence(integer(version), octets(Buffer.from(community)), tagged(2, integer(id), integer(status), integer(status === 0 ? 0 : 1), sequence(...bindings)));
}

/** Discovery's report with the id of the question. */
export function encodeReport(datagram: Buffer, engineId = Buffer.from('8000000001020304', 'hex')): Buffer {
  const id = derParts(derParts(derAt(datagram)!.value)![1]!.value)![0]!;
  const number = integer(numberOf(id.value));
  return sequence(
    integer(3),
    sequence(number, integer(65_507), octets(Buffer.from([0])), integer(3)),
    octets(sequence(octets(engineId), integer(1), integer(100), octets(), octets(), octets())),
    sequence(octets(engineId), octets(), tagged(8, number, integer(0), integer(0), sequence(sequence(oid(unknownEngineIds), tlv(0x41, Buffer.from([1])))))),
  );
}

export const isVersion3 = (datagram: Buffer): boolean => numberOf(derParts(derAt(datagram)!.value)![0]!.value) === 3;

/** `answer` gives what goes back, or null for silence; v3 goes to `answer3`. */
export async function openSnmpDevice(answer: (question: SnmpQuestion) => SnmpReply | Buffer | null, answer3: (datagram: Buffer) => Buffer | null = () => null, address = '127.0.0.1'): Promise<SnmpDevice> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const heard: Buffer[] = [];
  const questions: SnmpQuestion[] = [];
  socket.on('message', (datagram, from) => {
    heard.push(datagram);
    let reply: Buffer | null;
    if (isVersion3(datagram)) reply = answer3(datagram);
    else {
      const question = readQuestion(datagram)!;
      questions.push(question);
      const said = answer(question);
      reply = said === null || Buffer.isBuffer(said) ? said : encodeReply(question, said);
    }
    if (reply !== null) socket.send(reply, from.port, from.address);
  });
  socket.bind(0, address);
  await once(socket, 'listening');
  return {
    port: (socket.address() as AddressInfo).port,
    address,
    heard,
    questions,
    async [Symbol.asyncDispose]() {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    },
  };
}
