// docs/reference/journal.md: every event of the journal and the audit with its sentence, strictly; and those of the log.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { limits } from '#base/limits.ts';
import { code, from, table } from './reference-page.ts';

const root = resolve(import.meta.dirname, '..');
const source = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Said {
  readonly event: string;
  readonly meaning: string;
}

const journalMeanings: Readonly<Record<string, string>> = {
  'acme.failed': 'a certificate was not had by ACME; `why` holds what the authority said',
  'acme.issued': 'a certificate came by ACME and is in use',
  'acme.ordered': 'an order, or a renewal, by ACME began',
  'api.refused': 'the API refused somebody for want of a right, or for asking too often',
  'caller.refused': 'a session of `postern ssh`, `connect` or `forward` was refused at its handshake',
  'address.none-left': 'devices that should have a virtual address have none, because none was left: how many, and one of them',
  'application.refused': 'a device\'s request to an application was answered with a page of ours: `status` and `why`; its code is in `source.unassigned` and in `postern unassigned`',
  'callback.ended': 'a call to a device at its virtual address, over TCP, ended: who called, bytes each way, and why',
  'callback.failed': 'a call to a device at its virtual address could not be carried: `why`; at most a line a minute for the same caller, device and reason',
  'callback.refused': 'somebody called at a virtual address who may not, or too often: `why`; at most a line a minute for the same caller and reason',
  'certificate.ends': 'a certificate ends within 30, 14 or 7 days, or has ended; a line a day until it is dealt with',
  'conn.refused': 'a connection was refused at its first bytes, or later for something that its route does not lead to: `protocol` and `name` as it said them, `why`, and `rule`',
  'delivery.delivered': 'an agent put a certificate in place, and its command succeeded',
  'check-in.lost': 'a device said at its check-in that it lost bytes before it could deliver them: `bytes` since it said so last, `inAll` in this epoch',
  'file.stored': 'a device brought a file, or a new version of one',
  'delivery.failed': 'a certificate was not put in place: `state` and `why` say whether the command failed, the local policy refused it, or the agent does not know how',
  'device.refused': 'a request of a device was refused: `status`, `code`, `why`; `gap`, `sealed` and `busy`, which every device meets, are not among them',
  'identity.ambiguous': 'a request at an application may be of several devices, or of another than its address says: `why`, and which; once in ten minutes for each address',
  'proxy.untrusted': 'somebody who is no trusted proxy says for whom they come, and is not believed: `from`, `claims`, and what to write if it is a proxy of yours; once in ten minutes for each address',
  'identity.moved': 'a device proved itself at another address of its LAN than its row has: `from`, and `expected`; once in ten minutes for each address',
  'source.unassigned': 'an application refused a device that it does not know, or that is no job source: `code` is on its panel, `postern unassigned` mends it; once in ten minutes for each address and application',
  'feed.alert': 'a record of which an alert wants to know was stored: `alert`, device, feed, offset',
  'feed.alert-given-up': 'its webhook did not take it, over all tries',
  'feed.behind': 'a device says that more was confirmed than is here: was the store restored from an older backup?',
  'feed.conflict': 'a device brought other bytes for an offset than those that are stored: two devices share an epoch, or its memory was damaged',
  'feed.lost': 'a device declared bytes lost; they stand in the feed as a gap',
  'feed.made-good': 'what was behind has been brought again, or declared lost',
  'sink.failed': 'a sink does not take records any more; said once, until it works again',
  'sink.works': 'it does again, `after` so many failed tries',
  'device.waiting': 'a serial that is not known asked for the first time: `postern waiting`',
  'door.closed': 'a door in a site\'s LAN is shut; `why` says why',
  'door.opened': 'a door in a site\'s LAN accepts connections',
  'device.serial-differs': 'a probe read another serial at a device\'s address than its own: `expected`, `read`',
  'device.moved': 'a probe found a device, by its serial or MAC, at another address than its own: `from`, `to`, `by`',
  'device.mac-changed': 'a device with the right serial has another MAC than when it was probed before',
  'address.taken': 'another device answers at a device\'s address: `serial` or `mac` that was found there, and `by` whose it is, where that is known',
  'probe.failed': 'a device could not be asked what it is, for a reason that is new: `code`, `question`, `why`',
  'probe.works': 'it could again; `before` is the code of what was wrong',
  'exchange.failed': 'a request was let through, and its upstream or device failed',
  'exchange.refused': 'a request was refused; `rule` names the rule',
  'http2.refused': 'a connection of HTTP/2 was ended because it broke the protocol, or for resets, pings or settings without end',
  'head.refused': 'a request head could not be read, was too large or too slow',
  'join.refused': 'somebody tried to join or renew, and might not',
  'link.closed': 'a link ended; `why` says how',
  'link.opened': 'an agent linked',
  'flow.dropped': 'UDP datagrams of a link or a caller were dropped: too old, no room, too long; at most a line a minute for each',
  'link.refused': 'an agent\'s handshake was refused',
  'device-session.ended': 'a device\'s session with an application is over; `why` is idle, absolute, killed, removed (the device), changed (the configuration) or full (too many)',
  'device-session.opened': 'a device began a session with an application',
  'device-session.paused': 'a session waits for its device to be verified again',
  'device-session.resumed': 'the device of a session that waited was verified again',
  'redirect.chosen': 'a device got a lease: `rule` sends it to `server`, `here` being this gateway; once for each lease',
  'redirect.failed': 'a device came back and said that it could not deliver at `server`; it is not sent there for now',
  'disk.level': 'how full the data folder\'s disk is became another level: `ok`, `warn`, `low`, `full`, and what it was before',
  'records.dropped-unsent': 'the disk is low, and records past their retention went although a sink had not taken them',
  'retention.dropped': 'what went past its retention: how many of each kind, of records the bytes',
  'store.restored': 'the data folder was restored from a backup: when that was made, by which version, and when it was restored',
  'sign-in.refused': 'a wrong login or password',
  'stream.refused': 'a stream to a device, or from an agent, was refused',
  'stream.reset': 'the memory budget was used up: the stream that held most and moved least was reset',
  'relay.ended': 'a relayed connection (LDAP, SIP, TLS passed through …) ended: route, server, bytes of the client\'s connection, and why',
  'relay.failed': 'a route was found, and its server could not be reached',
  'tls.failed': 'a TLS handshake failed',
  'tls.legacy': 'a client came through a legacy lane, for the first time or for the first time that day',
  'tls.refused': 'a ClientHello was not answered: the client is too old for the policy of the name, its lane is over, or nobody had asked for an ACME challenge',
};

const auditMeanings: Readonly<Record<string, string>> = {
  'acme.account-changed': 'contact, root or external account of an account with an ACME authority',
  'acme.account-registered': 'an account was registered with an ACME authority; with `again`, because it had forgotten us',
  'acme.account-removed': 'the key of such an account was forgotten here',
  'acme.dns-key-removed': 'the TSIG key of a DNS server was removed',
  'acme.dns-key-set': 'the TSIG key of a DNS server was set',
  'address.given': 'a device got a virtual address of the pool\'s choice: `before`, `address`',
  'address.pinned': 'somebody chose a device\'s virtual address, and it stays there',
  'address.released': 'somebody took a device\'s virtual address back',
  'agent.certificate-renewed': 'an agent renewed its certificate',
  'agent.joined': 'an agent joined with a one-time token, and its device with it',
  'agent.link-closed': 'somebody closed an agent\'s link',
  'agent.locked': 'an agent was locked',
  'agent.moved': 'an agent was moved to another site, with its devices and doors',
  'agent.revoked': 'an agent was revoked for ever',
  'agent.unlocked': 'an agent was unlocked',
  'audit.dropped': 'lines past their retention were dropped: how many, the number of the last and its hash, which the first that is left continues',
  'backup.made': 'somebody had a backup made: whoever has it has every secret of the gateway',
  'certificate.added': 'a certificate was uploaded, requested, issued or ordered, by somebody or at a first visit',
  'certificate.changed': 'its name, whether it is shown, or how it is ordered',
  'certificate.downloaded': 'somebody took it away; `withKey` says whether its private key too',
  'certificate.removed': 'it was removed, with its key',
  'certificate.renewal-asked': 'somebody had it ordered again before its time',
  'certificate.renewed': 'the private CA issued it anew',
  'certificate.replaced': 'another one took its place: uploaded by somebody, or from an ACME authority',
  'certificate.request-dropped': 'a request that waited beside the certificate in use was given up, with its key',
  'certificate.requested': 'a request (CSR) was made, with a new key',
  'certificate.signed': 'the private CA signed a request that somebody brought',
  'certificate.went-back': 'the one before it came back into its place',
  'cli-login.approved': 'somebody let a `postern login` in',
  'cli-login.refused': 'somebody refused one',
  'conn.cut': 'somebody ended a client\'s connection',
  'config.changed': 'a revision of the configuration came into force; with `confirmBy` for the time being',
  'config.confirmed': 'somebody confirmed it: it stays',
  'config.rolled-back': 'an earlier revision came back: by somebody, or by the gateway because nobody confirmed in time or it was restarted; `missing` names listeners that could not be opened',
  'customer.resumed': 'the account of a customer is suspended no more',
  'customer.suspended': 'the account of a customer is suspended: redirect rules may go by that',
  'delivery.added': 'somebody lets an agent put a certificate in place',
  'delivery.delivered': 'it is in place at the agent; with `sent` false it was there already',
  'delivery.failed': 'it could not be put in place; `why` says why not',
  'delivery.removed': 'somebody ended that; what is in place stays',
  'delivery.retried': 'somebody had it tried again',
  'file.downloaded': 'somebody fetched a file that a device brought',
  'file.removed': 'somebody removed a file that a device brought, or one version of it',
  'feed.removed': 'somebody removed a feed with all its bytes; `bytes` says how many were kept',
  'device.added': 'a device was added, behind an agent that had joined before or without one',
  'device.certificate-accepted': 'the certificate of a device\'s https port was accepted: by somebody, or, with `first`, by the gateway because none was before',
  'device.certificate-forgotten': 'somebody forgot it: the next one shown is accepted',
  'device.changed': 'name, label, serial, host, ports or Host header of a device',
  'device.imported': 'a device came from another gateway, with its keys',
  'device.url-made': 'a URL of an application was made that says which device opens it; never its secret',
  'device.url-removed': 'such a URL was withdrawn',
  'job-source.added': 'a device was let into an application',
  'job-source.changed': 'as what a device appears to an application was changed, or the note about it',
  'job-source.removed': 'an application was taken from a device',
  'job-sources.imported': 'job sources of a customer came from a file: how many were added, changed, removed; each has a line of its own',
  'device.key-added': 'a device was given a key, or a client certificate to be known by',
  'device.key-imported': 'its keys came from another gateway, where they were newer',
  'device.key-removed': 'a key or certificate of a device is worth nothing any more',
  'device.locked': 'a device was locked',
  'device.moved': 'a device without an agent was moved to another site',
  'device.removed': 'a device was removed',
  'device-session.killed': 'a device\'s session with an application was ended',
  'device-session.reverify-asked': 'a session has to wait until its device is verified again',
  'device.tagged': 'the tags of a device were replaced',
  'device.unlocked': 'a device was unlocked',
  'devices.exported': 'somebody took devices away with their keys, sealed with a passphrase',
  'door.added': 'somebody opened a port in a site\'s LAN that leads to a listener',
  'door.changed': 'address, port or listener of such a door',
  'door.removed': 'somebody closed it; what came through it ended',
  'invite.removed': 'an invite was taken back',
  'join-token.created': 'a join token was made',
  'join-token.removed': 'a join token was taken back',
  'person.invited': 'a person was invited',
  'person.joined': 'a person used the invite',
  'person.locked': 'a person was locked',
  'person.password-changed': 'a person changed the password',
  'person.removed': 'a person was removed',
  'person.rights-changed': 'a person\'s rights were replaced',
  'person.set-up': 'the first person used the setup address',
  'person.unlocked': 'a person was unlocked',
  'pin.dropped': 'the next key of a leaf of the private CA was given up',
  'pin.prepared': 'it was made: devices hear of it when they check in',
  'pin.switched': 'it is shown from now on; `lost` says how many devices had not confirmed it',
  'secret.removed': 'a secret that the configuration may name was removed',
  'secret.set': 'one was set; its value stands nowhere',
  'sink.replayed': 'somebody had a sink begin again at an offset of a feed',
  'sink.retried': 'somebody had a sink try at once',
  'sign-in.ended': 'a sign-in ended: signed out, revoked, or with its person',
  'sign-in.opened': 'somebody signed in',
  'site.added': 'a site was added to a customer',
  'site.changed': 'name, subnets or egress of a site',
  'site.removed': 'an empty site was removed',
  'sign-in.refused': 'a wrong password for a login that exists',
  'token.created': 'an access token was made',
  'token.revoked': 'an access token was revoked',
  'visit.closed': 'a visit ended: how long, how many bytes, why',
  'visit.cut': 'somebody ended another\'s visit',
  'visit.opened': 'a visit began, written before its first byte flowed',
  'device.serial-taken': 'a serial that a probe read was made the device\'s',
  'agent.probe-credentials-set': 'credentials for asking devices were handed to an agent, or taken from it; by name alone',
  'driver.put': 'a driver of the owner\'s was added or replaced',
  'driver.removed': 'a driver of the owner\'s was removed',
  'waiting.approved': 'a serial that waited became a device, with its data',
  'waiting.refused': 'one was turned away, and its data deleted',
  'store.restore-acknowledged': 'somebody took note that the data folder was restored from a backup',
  'store.restored': 'the gateway started with a data folder that was restored from a backup: when that was made, by which version, and when it was restored',
};

/** One without a sentence here stands with an empty cell. */
const logMeanings: Readonly<Record<string, string>> = {
  'acme.failed': 'a certificate was not had by ACME; it is tried again',
  'acme.failure-not-kept': 'and that could not be written down',
  'acme.issued': 'a certificate came by ACME',
  'acme.not-ordered': 'a first visit could not order one',
  'acme.not-removed': 'one whose device is gone could not be removed',
  'acme.proof-left': 'what was put up for the authority could not be taken away again: a record in DNS',
  'acme.quota-not-kept': 'what was ordered could not be written down; after a restart it is not counted',
  'addresses.not-kept': 'the agent could not write down the gateway\'s addresses',
  'addresses.not-given': 'virtual addresses could not be given; it is tried again with the next change',
  'agent.joined': 'an agent joined',
  'alerts.not-looked': 'alerts that are due could not be looked for; it is tried again',
  'api.failed': 'a mistake in the gateway, with the request\'s id',
  'api.refused': 'a request to the API met a limit of work, or a mistake',
  'audit.broken': 'the audit\'s chain is broken: `postern audit verify`',
  'audit.head': 'the head of the audit\'s chain, daily: keep it elsewhere',
  'backup.broke-off': 'the files of a backup could not be read to their end',
  'backup.left-out': 'a file that no archive of ours can hold is not in the backup',
  'backup.made': 'a backup was sent whole',
  'backup.not-made': 'a backup was given up',
  'ca.made': 'the private CA was made: once in the life of a data folder',
  'caller.failed': 'a mistake in the gateway, in a session of `postern ssh`, `connect` or `forward`',
  'certificate.ends': 'a certificate ends within 30, 14 or 7 days, or has ended',
  'certificate.installed': 'the agent put a certificate in place',
  'certificate.issued': 'the private CA made a leaf for the gateway\'s own names',
  'certificate.key-not-removed': 'a key file that nobody needs any more could not be removed',
  'certificate.not-installed': 'the agent did not put a certificate in place; `why` says why not',
  'certificate.not-kept': 'a leaf could not be written: it is made anew after a restart',
  'certificate.not-noted': 'the failure of a renewal could not be written down',
  'certificate.not-renewed': 'the agent\'s certificate could not be renewed; it is tried again',
  'certificate.refresh-failed': 'certificates of the private CA could not be renewed; it is tried again',
  'certificate.renewal-failed': 'a certificate could not be renewed; it is tried again',
  'certificate.renewed': 'the agent has a new certificate',
  'certificate.unusable': 'a certificate cannot be shown, its key is missing or does not fit: another answers for its names',
  'certificates.not-refreshed': 'after a change of the configuration, leaves for its names could not be made',
  'check-in.mistake': 'a mistake in the agent, at a check-in; it is tried again',
  'check-in.pattern-refused': 'a server names a pattern that is none: urgent records are told by the owner\'s alone',
  'check-in.refused': 'a server refused a check-in',
  'check-in.settings': 'a server said other intervals, another pattern or zone than before',
  'clock.jump-refused': 'a server\'s time was not believed: more than a year away, or before the agent was built',
  'clock.not-set': 'the command that sets this machine\'s clock failed',
  'clock.off': 'the clocks of agent and gateway differ by more than a minute',
  'clock.set': 'the agent set this machine\'s clock, as its local policy allows',
  'clock.trusted': 'the agent knows the time from here on, and dates what came before',
  'command.started': 'the agent runs the command of its local policy',
  'config.listeners-opened': 'listeners that were missing after going back are open',
  'config.not-rolled-back': 'a change that nobody confirmed could not be taken back yet',
  'config.rolled-back': 'a change that nobody confirmed was taken back',
  'conn.broken': 'a mistake in the gateway, which ended one connection',
  'console.not-built': 'there is no console to show: `npm run console`',
  'control.failed': 'gateway and agent did not understand each other\'s messages',
  'delivery.delivered': 'an agent has a certificate in place',
  'delivery.failed': 'an agent could not put it in place',
  'delivery.interrupted': 'the agent went away meanwhile; it is tried again',
  'delivery.mistake': 'a mistake in the agent, at a delivery; it is tried again',
  'delivery.moved': 'what lies between was brought to another server by this one\'s word, and is not brought again',
  'delivery.new-epoch': 'a feed goes on under a new epoch; `why` and `reason`',
  'delivery.not-noted': 'what became of it could not be written down',
  'delivery.resumed': 'a destination takes data again',
  'delivery.server-behind': 'a gateway has less than it confirmed: what is still in the buffer is brought again, the rest declared lost',
  'delivery.uncompressed': 'compressed data did not arrive as such: it goes without from here on',
  'delivery.waiting': 'the device waits for approval, and its data is kept apart until then',
  'destination.back-home': 'a redirect is over or its server failed: back to the programmed address',
  'destination.redirected': 'a server sent this device to another one',
  'destination.state-damaged': 'what was kept of a destination could not be read: it begins with the owner\'s file',
  'device-key.not-noted': 'the first use of a new key could not be written down; it is at the next one',
  'device-notes.lost': 'when devices were last seen could not be written',
  'device.broken': 'a mistake in the gateway, in a request of a device',
  'device.fingerprint-not-stored': 'the first certificate of a device could not be remembered',
  'disk.level': 'how full the data folder\'s disk is became another level',
  'disk.not-seen': 'the data folder\'s disk could not be asked how full it is',
  'door.closed': 'the agent stopped listening at a door',
  'door.failed': 'a mistake in the agent, at a connection of a door',
  'door.opened': 'the agent listens at a door',
  'door.refused': 'the agent closed connections at once: without a link, too many, or refused by the gateway; with how many of each so far',
  'doors.broken': 'a stream about doors that cannot be understood',
  'doors.not-opened': 'the gateway could not tell an agent where to listen; it is tried again',
  'driver.left-out': 'a file of the owner\'s drivers has a mistake: it does not count, the others do',
  'drivers.not-read': 'a file or folder of drivers could not be read',
  'evidence.lost': 'what was seen of devices could not be written down: their evidence lacks it',
  'feed.alert': 'a record of which an alert wants to know was stored',
  'feed.clock-not-kept': 'the time could not be written down for records that were taken before it was known',
  'feed.copy-failed': 'what was not delivered could not be carried over to a new epoch; it is tried again',
  'feed.damaged': 'bytes in a buffer failed their checksum: they are declared lost',
  'feed.format-kept': 'the buffer has another format than its file asks for; the old one stays until a new epoch',
  'feed.lost': 'records were lost while the disk took none: they are declared as a gap',
  'feed.not-flushed': 'the last records of a buffer may not be on the disk, at the end of the agent',
  'feed.not-stored': 'the disk does not take records: they wait in memory, and it is tried again',
  'feed.not-tidied': 'what a buffer needs no more could not be removed; it is tried again',
  'feed.refused': 'records are lost from here on: they are too long, or too many wait in memory for a disk that takes none; said once, until it takes them again',
  'feed.remove-failed': 'a file that a buffer needs no more could not be removed',
  'feed.restarted': 'a buffer began a new epoch, with what was not delivered',
  'feed.shorter': 'a buffer lost its end, though it had been delivered: it begins a new epoch',
  'feed.state-lost': 'what a buffer knew of itself cannot be read: it begins a new epoch',
  'feed.stores-again': 'the disk takes records again',
  'feed.unknown-files': 'files in a buffer\'s folder that are not its own are left alone',
  'feed.wrapped': 'a buffer was full: its oldest records went before everybody had them',
  'feeds.failed': 'the agent\'s feeds do not run; `why` and `remedy`',
  'feeds.running': 'they do',
  'files.not-swept': 'files that nothing names could not be removed; it is tried again',
  'files.swept': 'files were removed that nothing names: of uploads that a crash ended',
  'gateway.not-closed': 'a part of the gateway did not close in order',
  'gateway.not-drained': 'links did not drain in order',
  'gateway.remark': 'something to know at the start',
  'gateway.started': 'everything is open; with ports and version',
  'gateway.stopped': 'everything is closed',
  'install.broken': 'a stream about certificates that the agent does not understand, or too many',
  'join.failed': 'a mistake in the gateway, at a join',
  'leases.not-stored': 'where devices were sent could not be written down; it is tried again',
  'legacy-clients.not-kept': 'the list of the legacy lane could not be written',
  'link.closed': 'a link ended; `why` says how',
  'link.failed': 'the agent\'s dial failed; at the gateway, a mistake of its own',
  'link.opened': 'a link stands',
  'link.refused': 'the gateway refused a link; `why` says why',
  'link.revoked': 'the agent was revoked and ends',
  'link.unreachable': 'the gateway cannot be reached; it is tried again',
  'listener.failed': 'a listener failed while it was open',
  'notes.not-stored': 'when agents and tokens were last seen could not be written',
  'operator.not-written': 'the command line\'s way in on this machine could not be written',
  'pins.changed': 'the agent took a server\'s list of fingerprints for its own',
  'pins.refused': 'it did not; `why`',
  'policy.changed': 'the agent\'s local policy was read anew',
  'policy.unreadable': 'it cannot be read: the one before holds',
  'probe.broken': 'a stream of the service `probe` ended out of order, or was one too many; at the gateway, a mistake of its own in a probe',
  'probe.credentials-set': 'the gateway set or removed credentials that devices are asked with: names alone',
  'probe.failed': 'a mistake in the agent while it asked a device',
  'probe.not-stored': 'what a probe read could not be written down; the next one is',
  'records.dropped-unsent': 'the disk is low, and records went although a sink had not taken them',
  'records.held-by-sinks': 'records past their retention stay until a sink has taken them',
  'redirect.refused': 'the agent did not follow a redirect; `why`',
  'retention.clock-set-forward': 'the clock was set forward: nothing is dropped by age for a day',
  'retention.dropped': 'what went past its retention',
  'retention.failed': 'a kind could not be dropped; it is tried again',
  'sink.failed': 'a sink does not take records any more; said once, until it works again',
  'sink.not-compressed': 'a rotated file could not be compressed; it stays as it is',
  'sink.not-swept': 'what a sink may have missed could not be looked for; it is tried again',
  'sink.works': 'it takes them again',
  'source.failed': 'a source cannot be opened or broke off; it is tried again',
  'source.file-gone': 'a file went before all of it was read',
  'source.file-truncated': 'a file was truncated, and is read from its beginning; with `copy` its copy had the rest',
  'source.missed-file': 'a rotated file was found that had not been read yet, and is',
  'store.back': 'the connection to the PostgreSQL server is back',
  'store.cleaning-failed': 'what has expired could not be removed; it is tried again',
  'store.died': 'the store is gone, and with it the gateway',
  'store.lost': 'the connection to the PostgreSQL server is lost: changes wait until it is back, which is tried again and again',
  'store.opened': 'the store is open',
  'store.restored': 'the data folder was restored from a backup',
  'stream.failed': 'a mistake in the program, which ended one stream',
  'stream.refused': 'the agent refused a stream, mostly by its local policy',
  'stream.reset': 'the memory budget was used up: a stream was reset',
  'uploads.not-dropped': 'uploads that expired could not be removed; it is tried again',
  'uses.lost': 'when sign-ins and tokens were last used could not be written',
  'visit.close-not-stored': 'the end of visits could not be written; it is tried again',
  'visits.left-open': 'visits of a gateway that crashed were closed',
};

function sourcesUnder(dir: string): { path: string; text: string }[] {
  return readdirSync(join(root, dir), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && statSync(join(root, dir, name)).isFile())
    .sort()
    .map((name) => ({ path: join(dir, name), text: source(join(dir, name)) }));
}

/** Events that the code has, each with its sentence; fails when one of the two lists has more than the other. */
export function said(what: string, found: Iterable<string>, told: Readonly<Record<string, string>>): Said[] {
  const events = [...new Set(found)].sort();
  const silent = events.filter((event) => told[event] === undefined);
  const stale = Object.keys(told).filter((event) => !events.includes(event));
  if (silent.length > 0 || stale.length > 0) throw new Error(`the sentences in scripts/reference*.ts and the ${what} differ: without one ${silent.join(', ') || 'none'}; no longer there ${stale.join(', ') || 'none'}`);
  return events.map((event) => ({ event, meaning: told[event]! }));
}

interface Source {
  readonly path: string;
  readonly text: string;
}

const eventNames = /'([a-z0-9.-]+)'/g;

/**
 * Every event by its name, written out where it is noted, or in the type of the `event` that is handed on or of what was found; one that is put together
 * could not be found.
 */
function journalEventsOf({ path, text }: Source): string[] {
  const calls = text.match(/journal\??\.note\(/g)?.length ?? 0;
  const written = [...text.matchAll(/journal\??\.note\(\s*(?:\w+ \? )?('[a-z0-9.-]+'(?: : '[a-z0-9.-]+')?)/g)].map((match) => match[1]!);
  const types = [...text.matchAll(/\(event: ('[a-z0-9.-]+'(?: \| '[a-z0-9.-]+')*)/g)].map((match) => match[1]!);
  // The names stand in the type of what was found out, in the same room.
  const found = path.startsWith('src/site/') ? [...text.matchAll(/\breadonly event: ('[a-z0-9.-]+'(?: \| '[a-z0-9.-]+')*)/g)].map((match) => match[1]!) : [];
  const isFoundElsewhere = path.startsWith('src/site/') && /\{ event, fields \} of \w+\.events\b/.test(text);
  const byName = types.length > 0 || isFoundElsewhere ? (text.match(/journal\??\.note\(event,/g)?.length ?? 0) : 0;
  if (written.length + byName !== calls) throw new Error(`scripts/reference-events.ts: ${path} notes an event in the journal whose name is not written out`);
  const handedOn = byName > 0 ? types : [];
  return [...written, ...handedOn, ...found].flatMap((each) => [...each.matchAll(eventNames)].map((name) => name[1]!));
}

/** Names that are put together, and what comes of them. */
const composed: Readonly<Record<string, readonly string[]>> = { 'cli-login.${state}': ['cli-login.approved', 'cli-login.refused'] };
const auditNouns = 'acme|address|agent|certificate|cli-login|config|conn|customer|delivery|device|invite|job-source|job-sources|join-token|person|pin|sign-in|token|visit|waiting';

/** What is written like an event, and no line of the log or the journal; and whatever an audit line is made with, if its noun is new. */
function auditEventsOf({ text }: Source): string[] {
  const known = new RegExp(`['\`]((?:${auditNouns})\\.(?:[a-z-]+|\\$\\{\\w+\\}))['\`]`, 'g');
  return text.split('\n').flatMap((line) => {
    if (/^\s*(?:\/?\*|\/\/)|\blog\.|journal\??\.note\(|\bpath: /.test(line)) return [];
    const found = [...line.matchAll(known), ...line.matchAll(/\b(?:what: |auditOf\(.*?)'([a-z-]+\.[a-z-]+)'/g)].map((match) => match[1]!);
    return found.filter((event) => !/\.(?:json|pem|id)$/.test(event)).flatMap((event) => composed[event] ?? [event]);
  });
}

export function journalReference(): string {
  const files = sourcesUnder('src');
  const journal = said('journal', files.flatMap(journalEventsOf), journalMeanings);
  const audit = said('audit', files.filter(({ path }) => /^src\/(?:admin|app|model|proxy|tunnel)\//.test(path)).flatMap(auditEventsOf), auditMeanings);
  const levels = new Map<string, Set<string>>();
  for (const { text } of files) for (const [, level, event] of text.matchAll(/\blog\.(info|warn|error)\('([a-z0-9.-]+)'/g)) levels.set(event!, (levels.get(event!) ?? new Set()).add(level!));
  const stale = Object.keys(logMeanings).filter((event) => !levels.has(event));
  if (stale.length > 0) throw new Error(`scripts/reference-events.ts speaks of events of the log that are not there: ${stale.join(', ')}`);
  return `# Reference: journal, audit and log

${from('src')}
Three records with three purposes. All hold names, sizes and verdicts; none holds bodies, credentials or query values.

- **Journal**: what traffic did. In memory, ${limits.journalLinesMax.toLocaleString('en')} lines; the oldest go and are counted. \`postern journal --event exchange.refused\`
- **Audit**: what people did, and every visit. In the store, each line with the hash of the one before. \`postern audit\`, \`postern audit verify\`
- **Log**: what the gateway itself does, for its operator. Standard error, one JSON object a line (at a terminal in plain words). \`--log debug|info|warn|error\`

## Events of the journal

${table(['event', 'when'], journal.map(({ event, meaning }) => [code(event), meaning]))}

## Events of the audit

${table(['event', 'when'], audit.map(({ event, meaning }) => [code(event), meaning]))}

A line's hash is the SHA-256 of its canonical JSON, in which the hash of the line before stands. \`src/model/audit.ts\` says how that is written. Once a day the
head of the chain goes to the log (\`audit.head\`): a copy of the log on another machine proves that no line was rewritten.

## Events of the log

At the level \`debug\` there are more; these are the ones to watch for. Those of an agent come from its own process.

${table(['event', 'level', 'when'], [...levels].sort(([a], [b]) => (a < b ? -1 : 1)).map(([event, found]) => [code(event), [...found].join(', '), logMeanings[event] ?? '']))}
`;
}
