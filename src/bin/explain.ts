// `postern explain`: which rule decides about a request or a connection. With a file it needs no gateway.
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand } from './arguments.ts';
import { readConfigFile } from './apply.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';

export const usage = `Usage: postern explain ADDRESS [OPTIONS]

Which rule decides what happens to a request, or to a connection by its first packet, step by step. The scheme names
the protocol and the port the listener: https://NAME/PATH, tls://NAME, ldap://DOMAIN, ldaps://, ldap+starttls://,
sip://, sips://, h323://, h323s://, ssh://, rdp://, tcp://HOST:PORT; +tls for inside TLS. For the address of a device's
request (https://NAME/v1/CUSTOMER/push/SERIAL/…, with --method POST) it says who that is, where it would be sent and what
it would be answered. For the address of an application it says how its server hears of devices, and who a request from --from
would be now; secrets of devices' own URLs are not repeated. Exit code 4: refused.

      --from IP              where it comes from; default this machine
      --user USER            user, alias or number that the first packet names; also DOMAIN\\USER and USER@DOMAIN
      --alias ALIAS          the same, for H.323
      --certificate SUBJECT  a client certificate with this common name is shown
      --tls VERSION          the best that the client can do: 1.0, 1.1, 1.2 or 1.3 (1.3)
      --server-name NAME     the name in TLS, where it is not the one in ADDRESS
      --method METHOD        default GET
  -f, --file CONFIG          judge by this file; no gateway is asked
${commonUsage}`;

const versions = ['1.0', '1.1', '1.2', '1.3'] as const;

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(
    args,
    { from: { type: 'string' }, user: { type: 'string' }, alias: { type: 'string' }, certificate: { type: 'string' }, tls: { type: 'string' }, 'server-name': { type: 'string' }, method: { type: 'string' }, file: { type: 'string', short: 'f' } },
    { min: 1, max: 1 },
  );
  const tls = versions.find((each) => each === values.tls);
  if (values.tls !== undefined && tls === undefined) throw usageFault('--tls takes 1.0, 1.1, 1.2 or 1.3');
  if (values.user !== undefined && values.alias !== undefined) throw usageFault('--user and --alias say the same: give one');
  const user = values.user ?? values.alias;
  const question: Question = {
    url: positionals[0]!,
    ...(values.from === undefined ? {} : { from: values.from }),
    ...(values.method === undefined ? {} : { method: values.method.toUpperCase() }),
    ...(user === undefined ? {} : { user }),
    ...(values.certificate === undefined ? {} : { certificate: values.certificate }),
    ...(tls === undefined ? {} : { tls }),
    ...(values['server-name'] === undefined ? {} : { serverName: values['server-name'] }),
  };
  const told = values.file === undefined ? await askGateway(io, values, question) : (await import('#model/explain.ts')).explain(await readConfigFile(io, values.file), { ...question, nowMs: Date.now() });
  if (values.json) printJson(io, told);
  else for (const line of [...told.lines, `=> ${told.verdict}, by ${told.rule}`]) printLine(io, printable(line, 1_000));
  return told.verdict === 'refuse' ? exitCodes.refused : exitCodes.ok;
}

interface Question {
  readonly url: string;
  readonly from?: string;
  readonly method?: string;
  readonly user?: string;
  readonly certificate?: string;
  readonly tls?: (typeof versions)[number];
  readonly serverName?: string;
}

async function askGateway(io: CommandIo, values: { readonly data?: string | undefined }, question: Question) {
  using client = await openGateway(io, values);
  return await client.call('explain', { body: question, signal: io.signal });
}
