// The proofs that authorities look for, made and taken away again: an answer on our own listeners, or a record in DNS.
import type { Clock } from '#base/clock.ts';
import { reasonOf } from '#base/fault.ts';
import type { Random } from '#base/ids.ts';
import type { Log } from '#base/log.ts';
import type { AcmeAnswer, AcmeAnswers } from '#model/acme-answers.ts';
import { parseDnsWay, type DnsKey, type DnsWay } from '#model/acme.ts';
import { challengeServerName, makeChallengeCertificate } from '#model/certificate-challenge.ts';
import { makeKey } from '#model/certificate-key.ts';
import type { AcmeSettings } from '#model/rows.ts';
import type { Check } from '#net/acme.ts';
import { runHook } from '#net/dns-command.ts';
import { findPlace, findServer, openDnsWork, sendUpdate, waitUntilShown, type Place } from '#net/dns-update.ts';
import type { DnsServer } from '#net/dns-client.ts';

export interface ProofsOptions {
  readonly answers: AcmeAnswers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Folder of the operator's commands. */
  readonly hooksDir: string;
  dnsKey(name: string): DnsKey;
}

export interface Proofs {
  prepare(check: Check): Promise<void>;
  /** Never throws; what stays behind is in the log. */
  cleanUp(check: Check): Promise<void>;
}

/** Seconds: long enough for a check, short enough that nobody keeps it. */
const ttlSeconds = 60;
const cleanUpMs = 15_000;

/** For one order. */
export function openProofs(options: ProofsOptions, settings: Pick<AcmeSettings, 'dns' | 'challenge'>, signal: AbortSignal): Proofs {
  const undo = new Map<Check, () => Promise<void> | void>();
  const way = settings.challenge === 'dns-01' ? parseDnsWay(settings.dns) : null;

  const putAnswer = (check: Check, answer: AcmeAnswer) => {
    options.answers.put(answer);
    undo.set(check, () => options.answers.remove(answer));
  };

  return {
    async prepare(check) {
      if (check.kind === 'http-01') return putAnswer(check, { kind: 'http-01', asked: check.token, body: check.proof, certPem: '', keyPem: '' });
      if (check.kind === 'tls-alpn-01') {
        const key = await makeKey('ec-p256');
        const certPem = makeChallengeCertificate({ identifier: check.identifier, keyAuthorization: check.proof, keyPem: key.pem, now: options.clock.nowMs(), random: options.random });
        return putAnswer(check, { kind: 'tls-alpn-01', asked: challengeServerName(check.identifier), body: '', certPem, keyPem: key.pem });
      }
      await putRecord(options, way!, check, signal, (remove) => undo.set(check, remove));
    },
    async cleanUp(check) {
      try {
        await undo.get(check)?.();
      } catch (thrown) {
        options.log.warn('acme.proof-left', { name: check.identifier, kind: check.kind, why: reasonOf(thrown) });
      } finally {
        undo.delete(check);
      }
    },
  };
}

/** `onPut` is called before anything is sent: a record whose answer got lost is there all the same. */
async function putRecord(options: ProofsOptions, way: DnsWay, check: Check, signal: AbortSignal, onPut: (remove: () => Promise<void>) => void): Promise<void> {
  const { clock, random } = options;
  const work = openDnsWork({ clock, random, signal, resolver: way.resolver });
  const asked = `_acme-challenge.${check.identifier}`;
  // An order that is called off cleans up as well, but not for ever.
  const soon = () => AbortSignal.timeout(cleanUpMs);
  let place: Place;
  let server: DnsServer | null = null;
  if (way.way === 'command') {
    const hook = { folder: options.hooksDir, command: way.command, value: check.proof };
    const name = await work.resolver.follow(asked).catch(() => asked);
    onPut(() => runHook({ ...hook, do: 'remove', name, signal: soon() }));
    await runHook({ ...hook, do: 'add', name, signal });
    place = way.check.length > 0 ? { name, zone: '', primary: '' } : await findPlace(asked, null, work, null);
  } else {
    const { algorithm, secret, name: keyName } = options.dnsKey(way.keyName);
    const key = { name: keyName, algorithm, secret: Buffer.from(secret, 'base64') };
    const named = way.server === null ? null : await findServer(way.server, work);
    place = await findPlace(asked, way.zone, work, named);
    server = named ?? (await findServer(place.primary, work));
    const update = { server, zone: place.zone, key, transport: way.transport };
    const change = { name: place.name, text: check.proof, ttl: ttlSeconds };
    onPut(() => sendUpdate({ ...update, change: { do: 'remove', ...change } }, { clock, random, signal: soon() }));
    await sendUpdate({ ...update, change: { do: 'add', ...change } }, work);
  }
  await waitUntilShown({ name: place.name, zone: place.zone, text: check.proof, check: way.check, also: server ? [server] : [] }, work);
}
