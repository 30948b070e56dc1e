// `postern certificate`: one certificate, put in place, swapped, asked for, issued, ordered, downloaded.
import type { Client } from '#api/client.ts';
import type { Body } from '#api/contract.ts';
import type { CertificateDetailView, SwapView } from '#api/certificate-shapes.ts';
import { Fault, isFault } from '#base/fault.ts';
import { printable } from '#base/log.ts';
import { commonUsage, openGateway, parseCommand, parseCount } from './arguments.ts';
import { askPassphrase, isInteractive, newPassphrase, printCertificate, printSwap, readInput, readPassphrase, writeOutput } from './certificate-files.ts';
import { exitCodes, usageFault } from './io.ts';
import type { CommandIo } from './io.ts';
import { printJson, printLine } from './output.ts';
import { confirm } from './trust.ts';

export const usage = `Usage: postern certificate show NAME
       postern certificate upload NAME FILE…        certificate, chain and key (PEM, DER, PKCS#7, PKCS#12)
       postern certificate request NAME [--host HOST]… [--cn NAME] [--key KIND] [--out FILE]
       postern certificate answer NAME FILE…        what the authority made of the request
       postern certificate issue NAME --host HOST…  by the private CA; with --client for a client named --cn
       postern certificate sign FILE [--client] [--host HOST]… [--days N] [--out FILE]
       postern certificate order NAME --host HOST… [--challenge WAY] [--directory CA] [--agree] [--check]
       postern certificate download NAME [--with-key | --pfx] [--out FILE]
       postern certificate renew|back|enable|disable|remove NAME
       postern certificate rename NAME NEW

NAME is a name or an id; FILE may be "-". upload and answer say what the new one is worth, what changes, and who
trusts the one in use, before they swap it; connections that stand are not touched.

      --host HOST             a name or address in the certificate; may be given again
      --cn NAME               common name; request: as now. Also --organization, --unit, --locality, --state, --country
      --key KIND              ec-p256 (default), ec-p384, rsa-2048, rsa-3072, rsa-4096
      --challenge WAY         http-01 (default), tls-alpn-01, dns-01
      --directory CA          lets-encrypt (default), zerossl, google, or an https address
      --dns KEY=VALUE         settings for dns-01; may be given again
      --agree                 to the authority's terms; --contact MAIL for its warnings
      --passphrase-file FILE  of the files, or of the PFX; else asked at the terminal
      --dry-run               only say what would happen
      --off                   upload it without showing it: devices that pin hear of its key, and enable shows it
      --losing N              so many devices that pin the key in use may be shut out: exactly that number
      --yes                   do not ask
${commonUsage}`;

const options = {
  host: { type: 'string', multiple: true }, cn: { type: 'string' }, organization: { type: 'string' }, unit: { type: 'string' }, locality: { type: 'string' }, state: { type: 'string' }, country: { type: 'string' },
  key: { type: 'string' }, out: { type: 'string' }, client: { type: 'boolean' }, days: { type: 'string' }, challenge: { type: 'string' }, directory: { type: 'string' }, dns: { type: 'string', multiple: true }, contact: { type: 'string' },
  agree: { type: 'boolean' }, check: { type: 'boolean' }, 'with-key': { type: 'boolean' }, pfx: { type: 'boolean' }, 'passphrase-file': { type: 'string' }, 'dry-run': { type: 'boolean' }, yes: { type: 'boolean' }, losing: { type: 'string' }, off: { type: 'boolean' },
} as const;

type Values = ReturnType<typeof parseCommand<typeof options>>['values'];

interface Task {
  readonly io: CommandIo;
  readonly client: Client;
  readonly values: Values;
  readonly name: string;
  readonly more: readonly string[];
}

const kinds = ['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096'] as const;
const challenges = ['http-01', 'tls-alpn-01', 'dns-01'] as const;

function oneOf<const Choice extends string>(text: string | undefined, option: string, choices: readonly Choice[], standard: Choice): Choice {
  const found = text === undefined ? standard : choices.find((each) => each === text);
  if (found === undefined) throw usageFault(`--${option} is one of ${choices.join(', ')}`);
  return found;
}

const keyOf = ({ key }: Values) => oneOf(key, 'key', kinds, 'ec-p256');

function hostsOf({ host }: Values): string[] {
  if (host === undefined) throw usageFault('which names? --host HOST, once for each');
  return [...host];
}

/** Which verbs take how many words behind the name. */
const words: Readonly<Record<string, readonly [min: number, max: number]>> = {
  show: [0, 0], upload: [1, 10], request: [0, 0], answer: [1, 10], issue: [0, 0], sign: [0, 0], order: [0, 0], download: [0, 0], renew: [0, 0], back: [0, 0], enable: [0, 0], disable: [0, 0], remove: [0, 0], rename: [1, 1],
};

export async function run(args: string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseCommand(args, options, { min: 2, max: 12 });
  const [verb, name, ...more] = positionals as [string, string, ...string[]];
  const count = Object.hasOwn(words, verb) ? words[verb]! : null;
  if (count === null) throw usageFault(`there is no "certificate ${verb}"`);
  if (more.length < count[0]) throw usageFault(`"certificate ${verb}" needs one more word`);
  if (more.length > count[1]) throw usageFault(`"${more[count[1]]}" is one word too many`);
  using client = await openGateway(io, values);
  // Awaited: the client closes when this function ends.
  return await acts[verb as keyof typeof acts]({ io, client, values, name, more });
}

function show({ io, values }: Task, certificate: CertificateDetailView): number {
  if (values.json) printJson(io, certificate);
  else printCertificate(io, certificate);
  return exitCodes.ok;
}

const read = ({ client, io, name }: Task) => client.call('getCertificate', { params: { certificate: name }, signal: io.signal });

async function readIfThere(task: Task): Promise<CertificateDetailView | null> {
  try {
    return await read(task);
  } catch (thrown) {
    if (isFault(thrown, 'not-found')) return null;
    throw thrown;
  }
}

async function sure({ io, values }: Task, question: string): Promise<boolean> {
  if (values.yes) return true;
  if (!isInteractive(io)) throw usageFault('this asks first; without a terminal add --yes');
  return confirm(io, `${question} [y/N] `);
}

type Shown = Pick<Body<'goBackCertificate'>, 'acknowledged' | 'against' | 'losing'>;

/** Devices that pin are lost only by their exact number. */
const losingOf = ({ losing }: Values): number | null => (losing === undefined ? null : parseCount(losing, 'losing', 0));

/** Tried first; shown; asked where something relies on the one in use; then done. */
async function swap(task: Task, isNew: boolean, once: (dryRun: boolean, shown: Shown) => Promise<SwapView>): Promise<number> {
  const { io, values, name } = task;
  const tried = await once(true, { acknowledged: false, against: null });
  const isRefused = tried.verdicts.some((each) => each.severity === 'error');
  if (values['dry-run'] || isRefused) {
    if (values.json) printJson(io, tried);
    else printSwap(io, tried);
    return isRefused ? exitCodes.failed : exitCodes.ok;
  }
  if (!values.json) printSwap(io, tried);
  if (tried.trusts.some((each) => each.severity === 'change') && !(await sure(task, '\nSwap it all the same?'))) {
    printLine(io, 'Nothing was changed.');
    return exitCodes.failed;
  }
  const done = await once(false, { acknowledged: true, against: tried.certificate?.fingerprint ?? null, losing: losingOf(values) });
  if (values.json) printJson(io, done);
  else printLine(io, `\n${isNew ? 'In place' : 'Swapped'}: ${printable(name)}. New connections see it, standing ones stay.`);
  return exitCodes.ok;
}

async function upload(task: Task, mustExist: boolean): Promise<number> {
  const { io, client, values, name, more } = task;
  if (more.includes('-') && values['passphrase-file'] === '-') throw usageFault('standard input can be only one of files and passphrase');
  const files = await Promise.all(more.map(async (path) => (await readInput(io, path)).toString('base64')));
  let passphrase = (await readPassphrase(io, values['passphrase-file'])) ?? null;
  const there = mustExist ? await read(task) : await readIfThere(task);
  const once = (dryRun: boolean, shown: Shown) => {
    const query = { dryRun: dryRun ? 'true' : 'false' } as const;
    return there
      ? client.call('replaceCertificate', { params: { certificate: there.id }, query, body: { files, passphrase, ...shown }, signal: io.signal })
      : client.call('uploadCertificate', { query, body: { name, files, passphrase, enabled: values.off !== true, losing: shown.losing ?? null }, signal: io.signal });
  };
  return swap(task, there === null, async (dryRun, shown) => {
    const answer = await once(dryRun, shown);
    const wantsPassphrase = dryRun && passphrase === null && isInteractive(io) && !more.includes('-') && answer.verdicts.some((each) => each.severity === 'error' && /wants its passphrase/.test(each.text));
    if (!wantsPassphrase) return answer;
    passphrase = await askPassphrase(io, 'Passphrase of the key: ');
    return once(dryRun, shown);
  });
}

async function request(task: Task): Promise<number> {
  const { io, client, values, name } = task;
  const there = await readIfThere(task);
  const { suggestion } = await client.call('getCertificateForm', { query: there ? { certificate: there.id } : values.host?.[0] === undefined ? {} : { host: values.host[0] }, signal: io.signal });
  const subject = {
    commonName: values.cn ?? suggestion.commonName, organization: values.organization ?? suggestion.organization, organizationalUnit: values.unit ?? suggestion.organizationalUnit,
    locality: values.locality ?? suggestion.locality, state: values.state ?? suggestion.state, country: values.country ?? suggestion.country,
  };
  const body = { subject, names: [...(values.host ?? suggestion.names)], keyKind: oneOf(values.key, 'key', kinds, suggestion.keyKind) };
  const made = there
    ? await client.call('requestCertificateAgain', { params: { certificate: there.id }, body, signal: io.signal })
    : await client.call('requestCertificate', { body: { ...body, name }, signal: io.signal });
  if (values.json) printJson(io, made);
  else await writeOutput(io, values.out, Buffer.from(made.request!.pem), false);
  io.stderr.write(`${printable(subject.commonName)}, ${body.names.join(' ')}, ${body.keyKind}. When it is signed: postern certificate answer ${name} FILE\n`);
  return exitCodes.ok;
}

async function issue(task: Task): Promise<number> {
  const { io, client, values, name } = task;
  const there = await readIfThere(task);
  if (there && !values.client) {
    const body = { names: [...(values.host ?? [])], keyKind: oneOf(values.key, 'key', kinds, kinds.find((each) => each === there.keyKind) ?? 'ec-p256') };
    return swap(task, false, (dryRun, shown) => client.call('issueCertificateAgain', { params: { certificate: there.id }, query: { dryRun: dryRun ? 'true' : 'false' }, body: { ...body, ...shown }, signal: io.signal }));
  }
  const names = values.client ? [...(values.host ?? [])] : hostsOf(values);
  const kind = values.client ? 'client' : 'server';
  return show(task, await client.call('issueCertificate', { body: { name, kind, commonName: values.cn ?? null, names, keyKind: keyOf(values), losing: losingOf(values) }, signal: io.signal }));
}

async function sign({ io, client, values, name }: Task): Promise<number> {
  const bytes = await readInput(io, name);
  // DER begins with a SEQUENCE; the API takes text.
  const csr = bytes[0] === 0x30 ? `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n` : bytes.toString();
  const body: Body<'signCertificateRequest'> = { csr, kind: values.client ? 'client' : 'server', ...(values.host === undefined ? {} : { names: [...values.host] }), ...(values.days === undefined ? {} : { days: parseCount(values.days, 'days', 396) }) };
  const signed = await client.call('signCertificateRequest', { body, signal: io.signal });
  if (values.json) printJson(io, signed);
  else await writeOutput(io, values.out, Buffer.from(signed.chainPem), false);
  io.stderr.write(`${printable(signed.subject) || 'no subject'}, ${[...signed.names.dns, ...signed.names.ip].join(' ') || 'no names'}, until ${new Date(signed.notAfter).toISOString().slice(0, 10)}, SHA-256 ${signed.fingerprint}\n`);
  return exitCodes.ok;
}

function dnsOf(given: readonly string[] | undefined): Record<string, string> | null {
  if (given === undefined) return null;
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf('=');
      if (at < 1) throw usageFault('--dns takes KEY=VALUE');
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

async function order(task: Task): Promise<number> {
  const { io, client, values, name } = task;
  const wanted = { names: hostsOf(values), challenge: oneOf(values.challenge, 'challenge', challenges, 'http-01'), directory: values.directory ?? 'lets-encrypt', dns: dnsOf(values.dns) };
  if (values.check || values['dry-run']) {
    const { findings } = await client.call('checkCertificateOrder', { body: wanted, signal: io.signal });
    if (values.json) printJson(io, findings);
    for (const each of values.json ? [] : findings) printLine(io, `${each.status.padEnd(7)}  ${each.title}: ${printable(each.verdict, 500)}${each.remedy === null || each.status === 'ok' ? '' : `\n         > ${printable(each.remedy, 500)}`}`);
    return findings.some((each) => each.status === 'failure') ? exitCodes.failed : exitCodes.ok;
  }
  const there = await readIfThere(task);
  const made = there
    ? await client.call('orderCertificateAgain', { params: { certificate: there.id }, body: { ...wanted, keyKind: keyOf(values) }, signal: io.signal })
    : await client.call('orderCertificate', { body: { ...wanted, keyKind: keyOf(values), name, contact: values.contact ?? null, termsAgreed: values.agree === true }, signal: io.signal });
  if (!values.json) io.stderr.write(`Ordered. How it goes on: postern certificate show ${name}\n`);
  return show(task, made);
}

async function download({ io, client, values, name }: Task): Promise<number> {
  if (values.pfx && values['with-key']) throw usageFault('--with-key and --pfx are two ways: take one');
  const form = values.pfx ? 'pfx' : values['with-key'] ? 'pem-with-key' : 'pem';
  if (form === 'pfx' && values.out === undefined && io.isTerminal) throw usageFault('a PFX file is not for a terminal: --out FILE');
  const passphrase = form === 'pfx' ? await newPassphrase(io, values['passphrase-file']) : null;
  const { encoding, content } = await client.call('downloadCertificate', { params: { certificate: name }, body: { form, passphrase }, signal: io.signal });
  await writeOutput(io, values.out, Buffer.from(content, encoding === 'base64' ? 'base64' : 'utf8'), form !== 'pem');
  return exitCodes.ok;
}

async function remove(task: Task): Promise<number> {
  const { io, client } = task;
  const { id, name, usedBy } = await read(task);
  if (!(await sure(task, `Remove ${printable(name)} with its key${usedBy.length > 0 ? `, which answers to ${usedBy.filter((each) => each.kind === 'host').map((each) => each.name).slice(0, 5).join(', ')}` : ''}?`))) throw new Fault('closed', 'nothing was removed');
  const losing = losingOf(task.values);
  await client.call('removeCertificate', { params: { certificate: id }, query: losing === null ? {} : { losing }, signal: io.signal });
  printLine(io, `Removed ${printable(name)}.`);
  return exitCodes.ok;
}

async function change({ io, client, name, values }: Task, body: Body<'changeCertificate'>): Promise<number> {
  const changed = await client.call('changeCertificate', { params: { certificate: name }, body: { ...body, losing: losingOf(values) }, signal: io.signal });
  printLine(io, `${printable(changed.name)} is ${changed.enabled ? 'on' : 'off'}.`);
  return exitCodes.ok;
}

const acts = {
  show: async (task: Task) => show(task, await read(task)),
  upload: (task: Task) => upload(task, false),
  answer: (task: Task) => upload(task, true),
  request,
  issue,
  sign,
  order,
  download,
  remove,
  renew: async (task: Task) => show(task, await task.client.call('renewCertificate', { params: { certificate: task.name }, signal: task.io.signal })),
  back: (task: Task) => swap(task, false, (dryRun, shown) => task.client.call('goBackCertificate', { params: { certificate: task.name }, query: { dryRun: dryRun ? 'true' : 'false' }, body: shown, signal: task.io.signal })),
  enable: (task: Task) => change(task, { enabled: true }),
  disable: (task: Task) => change(task, { enabled: false }),
  rename: (task: Task) => change(task, { name: task.more[0]! }),
} as const;
