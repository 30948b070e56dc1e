// A real slapd with two directories, in a test's own folder and on ports of its own.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { makeCertificate } from './authority.ts';
import { until } from './gateway.ts';
import { freePort, type Processes, type Started } from './processes.ts';

export const ldapPassword = 'secret';
export const suffixOf = (domain: string): string => domain.split('.').map((label) => `dc=${label}`).join(',');
export const adminOf = (domain: string): string => `cn=admin,${suffixOf(domain)}`;

export interface Slapd {
  readonly plainPort: number;
  readonly tlsPort: number;
  /** What its certificate, for `slapd.example.test` and this machine, can be verified by. */
  readonly caPem: string;
  readonly process: Started;
}

export interface SlapdOptions {
  readonly slapd: string;
  readonly slapadd: string;
  readonly domains: readonly string[];
  /** People in the first domain: `uid=u0` and so on. */
  readonly people: number;
}

function entries(domain: string, people: number): string {
  const suffix = suffixOf(domain);
  const lines = [`dn: ${suffix}\nobjectClass: dcObject\nobjectClass: organization\no: ${domain}\ndc: ${domain.split('.')[0]}\n`];
  for (let i = 0; i < people; i++) lines.push(`dn: uid=u${i},${suffix}\nobjectClass: inetOrgPerson\nuid: u${i}\ncn: Person ${i}\nsn: Person\ntelephoneNumber: +1 555 ${String(i).padStart(5, '0')}\n`);
  return lines.join('\n');
}

export async function startSlapd(processes: Processes, options: SlapdOptions): Promise<Slapd> {
  const folder = join(processes.folder, 'slapd');
  mkdirSync(folder, { mode: 0o700 });
  const ca = await makeCertificate({ name: 'Directory test CA', now: Date.now(), ca: true });
  const leaf = await makeCertificate({ name: 'slapd.example.test', now: Date.now(), issuer: ca, names: [{ type: 'dns', value: 'slapd.example.test' }, { type: 'ip', value: '127.0.0.1' }], usages: ['1.3.6.1.5.5.7.3.1'] });
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const databases = options.domains.map((domain, index) => {
    const directory = join(folder, `db${index}`);
    mkdirSync(directory, { mode: 0o700 });
    return `database mdb\nsuffix "${suffixOf(domain)}"\nrootdn "${adminOf(domain)}"\nrootpw ${ldapPassword}\ndirectory ${directory}\nmaxsize 67108864\n`;
  });
  const schema = ['core', 'cosine', 'inetorgperson'].map((name) => `include /etc/ldap/schema/${name}.schema\n`).join('');
  const config = file(
    'slapd.conf',
    `${schema}modulepath /usr/lib/ldap\nmoduleload back_mdb\nsizelimit unlimited\npidfile ${join(folder, 'pid')}\nallow bind_v2\n` +
      `TLSCACertificateFile ${file('ca.pem', ca.pem)}\nTLSCertificateFile ${file('leaf.pem', leaf.pem)}\nTLSCertificateKeyFile ${file('leaf.key', leaf.keyPem)}\n${databases.join('')}`,
  );
  for (const [index, domain] of options.domains.entries()) {
    const added = await processes.run(options.slapadd, ['-q', '-f', config, '-b', suffixOf(domain), '-l', file(`${index}.ldif`, entries(domain, index === 0 ? options.people : 1))]);
    assert.equal(added.code, 0, added.stderr);
  }
  const [plainPort, tlsPort] = [await freePort(), await freePort()];
  // -d keeps it in the foreground, so that it ends by its pid.
  const process = processes.start(options.slapd, ['-h', `ldap://127.0.0.1:${plainPort}/ ldaps://127.0.0.1:${tlsPort}/`, '-f', config, '-d', 'none']);
  const listens = (port: number) =>
    new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => (socket.destroy(), resolve(true))).once('error', () => resolve(false));
    });
  const ended = process.ended.then(() => assert.fail(`slapd ended: ${process.stderr}`));
  await Promise.race([ended, until('slapd to listen', async () => (await listens(plainPort)) && (await listens(tlsPort)))]);
  ended.catch(() => {});
  return { plainPort, tlsPort, caPem: ca.pem, process };
}
