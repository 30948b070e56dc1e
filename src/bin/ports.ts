// Ports as they are typed: `80`, `8443/https`, `5900/tcp=VNC`.
import type { Body } from '#api/contract.ts';
import { usageFault } from './io.ts';

type PortsBody = NonNullable<Body<'createJoinToken'>['ports']>;

export const portUsage = 'A PORT is NUMBER[/KIND][=NAME], KIND one of http, https, tcp, udp; 80, 8080 are http and 443, 8443 https by themselves, others tcp.';

export function parsePorts(texts: readonly string[]): PortsBody {
  return texts.map((text) => {
    const match = /^(\d{1,5})(?:\/(http|https|tcp|udp))?(?:=(.*))?$/.exec(text);
    const number = Number(match?.[1]);
    if (!match || number < 1 || number > 65_535) throw usageFault(`"${text}" is not a port like 80, 8443/https, 5900/tcp=VNC or 161/udp`);
    const kind = number === 80 || number === 8080 ? 'http' : number === 443 || number === 8443 ? 'https' : 'tcp';
    return { number, kind: (match[2] as PortsBody[number]['kind'] | undefined) ?? kind, name: match[3] ?? '' };
  });
}
