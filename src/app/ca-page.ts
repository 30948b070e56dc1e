// `/ca`: the private CA's certificate for whoever has to trust it, in the forms that systems take, and a page that says how. Pure: bytes out of a path.
import { createHash, X509Certificate } from 'node:crypto';
import { fingerprintOf, keyFingerprintOf } from '#model/fingerprint.ts';

export interface CaAnswer {
  readonly status: 200 | 404 | 405;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const escaped = (text: string) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
const withColons = (hex: string) => hex.toUpperCase().match(/../g)!.join(':');

/** RFC 9562 §5.8: a UUID made of a digest, so that installing the profile again replaces it. */
function uuidOf(text: string): string {
  const bytes = createHash('sha256').update(text).digest().subarray(0, 16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x80;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`.toUpperCase();
}

/** Apple's Configuration Profile Reference: payload `com.apple.security.root`, which takes DER. */
function profileOf(certificate: X509Certificate, name: string): string {
  const stem = `postern.ca.${fingerprintOf(certificate).slice(0, 16)}`;
  const field = (key: string, value: string) => `<key>${key}</key><string>${escaped(value)}</string>`;
  const common = (part: string) => `${field('PayloadIdentifier', part)}${field('PayloadUUID', uuidOf(`${part} ${fingerprintOf(certificate)}`))}<key>PayloadVersion</key><integer>1</integer>${field('PayloadDisplayName', name)}`;
  const data = (certificate.raw as Buffer).toString('base64').match(/.{1,64}/g)!.join('\n');
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
${common(stem)}${field('PayloadType', 'Configuration')}${field('PayloadDescription', 'Lets this device trust the certificates of the gateway.')}
<key>PayloadContent</key><array><dict>
${common(`${stem}.root`)}${field('PayloadType', 'com.apple.security.root')}${field('PayloadCertificateFileName', 'postern-ca.cer')}
<key>PayloadContent</key><data>
${data}
</data></dict></array>
</dict></plist>
`;
}

const steps: readonly (readonly [title: string, html: string])[] = [
  ['Windows', `Download <a href="/ca/root.crt">postern-ca.crt</a>. For the whole machine, as administrator: <code>certutil -addstore Root postern-ca.crt</code>, or open <code>certlm.msc</code>, <i>Trusted Root Certification Authorities</i>, <i>All Tasks</i>, <i>Import</i>. For yourself alone: <code>certutil -user -addstore Root postern-ca.crt</code>.`],
  ['macOS', `Download <a href="/ca/root.pem">postern-ca.pem</a>, then <code>sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain postern-ca.pem</code>. Or open it in <i>Keychain Access</i>, keychain <i>System</i>, and set <i>When using this certificate</i> to <i>Always Trust</i>.`],
  ['iPhone, iPad', `1. Open <a href="/ca/root.mobileconfig">the profile</a> in Safari and allow the download. 2. <i>Settings</i>, <i>General</i>, <i>VPN &amp; Device Management</i>: install it. 3. <i>Settings</i>, <i>General</i>, <i>About</i>, <i>Certificate Trust Settings</i>: switch full trust on. Without the third step nothing changes.`],
  ['Android', `Download <a href="/ca/root.crt">postern-ca.crt</a>. <i>Settings</i>, <i>Security</i>, <i>More security settings</i>, <i>Encryption &amp; credentials</i>, <i>Install a certificate</i>, <i>CA certificate</i>. Browsers take it; other apps only if their makers said so.`],
  ['Firefox', `<i>Settings</i>, <i>Privacy &amp; Security</i>, <i>View Certificates</i>, <i>Authorities</i>, <i>Import</i> <a href="/ca/root.pem">postern-ca.pem</a>, and trust it for websites. For many machines, in <code>policies.json</code>: <code>{"policies":{"Certificates":{"ImportEnterpriseRoots":true,"Install":["/path/to/postern-ca.pem"]}}}</code>`],
  ['Debian, Ubuntu', `<code>sudo cp postern-ca.pem /usr/local/share/ca-certificates/postern-ca.crt</code>, then <code>sudo update-ca-certificates</code>. Chromium there has a store of its own: <i>Settings</i>, <i>Manage certificates</i>, <i>Authorities</i>.`],
  ['Fedora, RHEL', `<code>sudo cp postern-ca.pem /etc/pki/ca-trust/source/anchors/</code>, then <code>sudo update-ca-trust</code>.`],
];

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}code{font-size:.9em;overflow-wrap:anywhere}dt{margin-top:.5rem}dd{margin:0}.warn{border-left:4px solid #d97706;padding-left:.75rem}`;

function pageOf(certificate: X509Certificate, name: string, isSecure: boolean): string {
  const sha1 = createHash('sha1').update(certificate.raw).digest('hex');
  const warning = isSecure ? '' : '<p class="warn">This page came without encryption: somebody on the way could have put another certificate in its place. Compare the fingerprint before you install it.</p>';
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(name)}</title><style>${style}</style><body>
<h1>${escaped(name)}</h1>
<p>This gateway shows certificates of its own authority. Who installs the authority's certificate sees no more warnings. Whoever trusts it trusts its key for every name: install it only if you know whose gateway this is.</p>
${warning}
<h2>Compare the fingerprint</h2>
<p>With what the operator tells you by another way; <code>postern ca --fingerprint</code> on the gateway prints the last one.</p>
<dl><dt>Certificate, SHA-256</dt><dd><code>${withColons(fingerprintOf(certificate))}</code></dd>
<dt>Certificate, SHA-1 (what Windows calls the thumbprint)</dt><dd><code>${withColons(sha1)}</code></dd>
<dt>Its key, SHA-256</dt><dd><code>${keyFingerprintOf(certificate)}</code></dd>
<dt>Valid until</dt><dd>${certificate.validToDate.toISOString().slice(0, 10)}</dd></dl>
<h2>Download</h2>
<p><a href="/ca/root.pem">PEM</a> (Linux, macOS, Firefox) · <a href="/ca/root.crt">DER</a> (Windows, Android) · <a href="/ca/root.mobileconfig">profile</a> (iPhone, iPad, Mac)</p>
<h2>Install</h2>
${steps.map(([title, html]) => `<h3>${title}</h3><p>${html}</p>`).join('\n')}
</body></html>
`;
}

const pageHeaders = { 'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", 'Referrer-Policy': 'no-referrer' };

export interface CaAsked {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly accept: string | undefined;
  readonly secure: boolean;
}

/** For `/ca` and everything below it; null: the path is somebody else's. Scripts that say nothing, or anything goes, get PEM. */
export function buildCaPages(caPem: string): (asked: CaAsked) => CaAnswer | null {
  const certificate = new X509Certificate(caPem);
  const name = /^CN=(.*)$/m.exec(certificate.subject)?.[1]?.replace(/\\(.)/g, '$1') ?? 'The private CA';
  const answer = (type: string, body: string | Buffer, more: Readonly<Record<string, string>> = {}): CaAnswer => ({ status: 200, headers: { 'Content-Type': type, ...more }, body: Buffer.from(body) });
  const file = (type: string, fileName: string, body: string | Buffer) => answer(type, body, { 'Content-Disposition': `attachment; filename="${fileName}"` });
  const pages = [false, true].map((isSecure) => answer('text/html; charset=utf-8', pageOf(certificate, name, isSecure), { ...pageHeaders, Vary: 'Accept' }));
  const pem = answer('application/x-pem-file', caPem, { Vary: 'Accept' });
  const files: Readonly<Record<string, CaAnswer>> = {
    '/ca/root.pem': file('application/x-pem-file', 'postern-ca.pem', caPem),
    '/ca/root.crt': file('application/x-x509-ca-cert', 'postern-ca.crt', certificate.raw as Buffer),
    // Safari offers to install what has this type; as an attachment it would only be saved.
    '/ca/root.mobileconfig': answer('application/x-apple-aspen-config', profileOf(certificate, name)),
  };
  return ({ method, path, accept, secure }) => {
    if (path !== '/ca' && !path.startsWith('/ca/')) return null;
    if (method !== 'GET' && method !== 'HEAD') return { status: 405, headers: { 'Content-Type': 'text/plain', Allow: 'GET, HEAD' }, body: Buffer.from('this is for reading\n') };
    if (path === '/ca' || path === '/ca/') return /\btext\/html\b/i.test(accept ?? '') ? pages[Number(secure)]! : pem;
    return files[path] ?? { status: 404, headers: { 'Content-Type': 'text/plain' }, body: Buffer.from('there are /ca, /ca/root.pem, /ca/root.crt and /ca/root.mobileconfig\n') };
  };
}
