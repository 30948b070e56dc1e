// An ACME server that a test scripts where Pebble does not misbehave: every name is proven already, and each address can be told what to answer next.
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { issueServerLeaf, makeCa, signRequest } from '#model/certificate.ts';
import { makeKeyPair, privateKeyPemOf } from '#model/key-pair.ts';

export interface Scripted {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export type Place = 'directory' | 'newNonce' | 'newAccount' | 'newOrder' | 'authorization' | 'order' | 'finalize' | 'certificate';

export interface Authority {
  readonly directory: string;
  /** Root of its own certificate and of those that it gives. */
  readonly rootPem: string;
  /** Each in turn instead of what it would answer; then that again. */
  next(place: Place, ...answers: readonly Scripted[]): void;
  /** What was asked, in order. */
  readonly asked: readonly Place[];
  /** What orders asked for. */
  readonly orders: readonly Readonly<Record<string, unknown>>[];
  [Symbol.asyncDispose](): Promise<void>;
}

export async function startAuthority(): Promise<Authority> {
  const [caKeys, keys] = [await makeKeyPair(), await makeKeyPair()];
  const made = await makeCa({ name: 'Scripted authority', keys: caKeys, now: Date.now(), random: randomBytes });
  const ca = { certificatePem: made.pem, signingKey: caKeys.privateKey };
  const leaf = await issueServerLeaf({ ca, names: { dns: [], ip: ['127.0.0.1'] }, publicKey: keys.publicKey, now: Date.now(), random: randomBytes });
  const scripts = new Map<Place, Scripted[]>();
  const asked: Place[] = [];
  const orders: Readonly<Record<string, unknown>>[] = [];
  let base = '';
  let identifiers: unknown[] = [];
  let chain: string | null = null;
  const order = () => ({ status: chain === null ? 'ready' : 'valid', identifiers, authorizations: [`${base}/authorization`], finalize: `${base}/finalize`, certificate: `${base}/certificate` });

  const usual = async (place: Place, payload: Readonly<Record<string, unknown>>): Promise<Scripted> => {
    switch (place) {
      case 'directory':
        return { status: 200, body: { newNonce: `${base}/newNonce`, newAccount: `${base}/newAccount`, newOrder: `${base}/newOrder`, meta: { caaIdentities: ['ca.example.test'], profiles: { classic: 'as ever', shortlived: 'six days' } } } };
      case 'newNonce':
        return { status: 200 };
      case 'newAccount':
        return { status: 201, headers: { location: `${base}/account` }, body: { status: 'valid' } };
      case 'newOrder':
        orders.push(payload);
        identifiers = payload['identifiers'] as unknown[];
        chain = null;
        return { status: 201, headers: { location: `${base}/order` }, body: order() };
      case 'authorization':
        return { status: 200, body: { status: 'valid', identifier: identifiers[0], challenges: [] } };
      case 'order':
        return { status: 200, body: order() };
      case 'finalize': {
        const lines = Buffer.from(String(payload['csr']), 'base64url').toString('base64');
        chain = (await signRequest({ ca, csrPem: `-----BEGIN CERTIFICATE REQUEST-----\n${lines}\n-----END CERTIFICATE REQUEST-----\n`, kind: 'server', days: 90, now: Date.now(), random: randomBytes })).pem;
        return { status: 200, body: order() };
      }
      case 'certificate':
        return { status: 200, headers: { 'content-type': 'application/pem-certificate-chain' }, body: chain };
    }
  };

  const server = createServer({ key: await privateKeyPemOf(keys), cert: leaf.pem }, (request, response) => {
    let text = '';
    request.on('data', (piece: Buffer) => (text += piece.toString()));
    request.on('end', () => {
      const place = request.url!.slice(1) as Place;
      asked.push(place);
      const protectedPart = text === '' ? '' : ((JSON.parse(text) as { payload: string }).payload);
      const payload = protectedPart === '' ? {} : (JSON.parse(Buffer.from(protectedPart, 'base64url').toString()) as Readonly<Record<string, unknown>>);
      const scripted = scripts.get(place)?.shift();
      // It signs, whatever it says: the answer to the next question about the order shows it.
      void Promise.resolve(scripted && place !== 'finalize' ? scripted : usual(place, payload)).then((answer) => {
        const { status, headers = {}, body } = scripted ?? answer;
        response.writeHead(status, { 'replay-nonce': randomBytes(8).toString('hex'), 'content-type': status >= 400 ? 'application/problem+json' : 'application/json', ...headers });
        response.end(typeof body === 'string' ? body : body === undefined ? '' : JSON.stringify(body));
      });
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  base = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    directory: `${base}/directory`,
    rootPem: made.pem,
    asked, orders,
    next: (place, ...answers) => void scripts.set(place, [...answers]),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
