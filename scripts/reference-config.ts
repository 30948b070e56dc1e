// docs/reference/config.md: every field of the configuration, from its schema, with what it means. A field without a sentence here, or a
// sentence without a field, fails; so does a section whose example is not in examples/.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { configSchema } from '#model/config.ts';
import { code, from, table, type JsonSchema } from './reference-page.ts';

const root = resolve(import.meta.dirname, '..');

interface Section {
  readonly title: string;
  /** Where in the document its fields stand; `()` chooses one of several kinds. */
  readonly at: string;
  readonly before: string;
  /** Parts of an example: its file, the list (or the field) they stand in, and their names. */
  readonly examples?: readonly { readonly file: string; readonly of: string; readonly names?: readonly string[] }[];
  /** By the field's path below `at`. */
  readonly fields: Readonly<Record<string, string>>;
}

const frontDoor = (of: string, ...names: readonly string[]) => [{ file: 'front-door.json', of, names }];

const sections: readonly Section[] = [
  {
    title: '## The document',
    at: '',
    before: '',
    fields: {
      version: 'The version of this document',
      domains: 'The gateway\'s names. The first is the primary one: printed addresses use it. The console answers on each of them',
      'domains[].name': 'A host name. With `localhost` as the first one, plain HTTP stays on loopback and serves everything',
      deviceDomain: 'Devices are `<label>.<deviceDomain>`; `null`: they are `<label>.<domain>` under every domain. In production, another registrable domain than the console\'s',
      publicAddress: 'The name or address that clients outside dial, where the gateway stands behind NAT. It is written into SIP messages. `null`: the address to which the client came',
      listeners: 'Ports that the gateway accepts on: [listeners](#listeners)',
      tlsPolicies: 'What TLS a name gets: [TLS policies](#tls-policies)',
      trustedProxies: 'Whose word counts about where a client comes from: [trusted proxies](#trusted-proxies)',
      routes: 'What leads where, beyond what is built in: [routes](#routes)',
      acme: 'Certificates from a public authority that nobody has to order: [ACME](#acme)',
      strangers: 'What becomes of devices that nobody knows: [strangers](#strangers)',
      feeds: 'How what devices bring is cut, watched and kept: [feeds](#feeds)',
      checkIn: 'When devices come, and what they are told: [check-ins](#check-ins)',
      pins: 'Devices that know the gateway by its keys: [pins](#pins)',
      servers: 'Where devices\' data may go instead of here: [servers](#servers)',
      redirects: 'Which devices\' data goes where: [redirects](#redirects)',
      sinks: 'Where records go on to: [sinks](#sinks)',
      retention: 'How long what grows is kept: [retention](#retention)',
      addressPool: 'Addresses that devices have towards applications: [address pool](#address-pool)',
      probes: 'How often devices are asked what they are: [probes](#probes)',
    },
  },
  {
    title: '## Listeners',
    at: 'listeners[]',
    before: 'A port, and what may come there. What comes is told by its first bytes, never by the port number; what a listener does not list is refused. How to use them: [the front door](../operate/front-door.md).',
    examples: frontDoor('listeners', 'https', 'behind-balancer', 'mail'),
    fields: {
      name: 'For routes, policies and the journal; unique',
      address: 'An address of this machine; `::` is all of them, IPv4 too',
      port: '0 lets the system choose',
      tls: 'true: the gateway speaks TLS here, for people, programs and agents. false: none of its own',
      protocols: 'What may come; on a TLS listener, inside TLS. `tls` is TLS passed through undecrypted, by its name; `tcp` is whatever no reader knows',
      plain: 'On a TLS listener: what may also come without TLS; not `tls`',
      proxyProtocolFrom: 'Addresses and networks whose connections must begin with a PROXY protocol header. From others it is never looked for',
      serverFirst: 'The server speaks first, as in SMTP: nothing is looked at, the port alone decides. `protocols` is then `["tcp"]`',
      silentMs: 'A client that is silent for so long is taken for one whose server speaks first: `ssh` where the listener takes it, else `tcp`. Absent: silence ends at the time limit',
      sniffTimeoutMs: 'How long a first packet may take. Absent: `sniffTimeoutMs` in [limits](limits.md)',
    },
  },
  {
    title: '## TLS policies',
    at: 'tlsPolicies[]',
    before:
      'Which TLS a name gets on the gateway\'s TLS listeners. The name in TLS chooses, the most specific first, then the policy that names the listener. A name inside (Host, the domain of a bind) that asks other things of clients than the name in TLS is refused. Names without a policy have level `intermediate` and ask nobody for a certificate.',
    examples: frontDoor('tlsPolicies', 'staff', 'old-printers'),
    fields: {
      name: 'For the journal and explain; unique, and not `default`',
      hosts: 'Host names, or `*.` and a host name for every name below it. Absent: every name that no other policy has, and clients that name none',
      listeners: 'Only there. Absent: on all',
      level: '`modern`: TLS 1.3 · `intermediate`: 1.2 and 1.3. Suites and groups: [TLS](../wire/tls.md#levels)',
      clientCertificates: 'Ask clients for a certificate. Absent: nobody is asked',
      'clientCertificates.ca': 'Who must have signed it: `"private"` is the gateway\'s own CA, or the CA\'s certificate in PEM',
      'clientCertificates.required': 'false: those without one, or with one that this CA did not sign, get in as if nobody had been asked; routes may still want it',
      legacyLane: 'TLS 1.0 and 1.1 for old clients. Absent: for nobody',
      'legacyLane.from': 'Addresses and networks that may use it, and only with clients that cannot do better',
      'legacyLane.until': 'A date; the lane ends with that day (UTC)',
    },
  },
  {
    title: '## Trusted proxies',
    at: 'trustedProxies[]',
    before: 'HTTP proxies in front of the gateway, whose forwarding headers (X-Forwarded-For and the like) are kept; those of everybody else are dropped. X-Forwarded-For is read from its end, and the first address that is no trusted proxy\'s is the client.',
    examples: frontDoor('trustedProxies'),
    fields: {
      from: 'An address or network',
      subject: 'And it must show a client certificate with this common name; a TLS policy has to ask for it. It proves the proxy, not the clients behind it',
    },
  },
  {
    title: '## Routes',
    at: 'routes[]',
    before: 'Which facts lead to which server. Their order means nothing: [the more specific one wins](#which-route-wins).',
    examples: frontDoor('routes', 'pbx-web', 'calls'),
    fields: {
      name: 'For the journal and explain; unique',
      listeners: 'Only what came in there. Absent: every TLS listener that takes the protocol, and plain ones where the first domain is `localhost` (http)',
      protocol: 'What it is about, as in a listener\'s `protocols`',
      host: 'A host name, or `*.` and a host name for every name below it. http: Host · tls: the name in TLS · ldap: domain of the bind, or of a search before it · sip: domain of the request · h323: gatekeeper, or domain of the alias · else, and where the first packet names none, the name in TLS. Absent: any name, and none',
      path: 'A prefix of whole segments, or a list of them: `/shop` holds for `/shop` and `/shop/x`, not for `/shopping`. Compared with percent-encoded letters, digits and `-._~` decoded and `//` taken for `/`; forwarded as it came. http only',
      ignoreCase: 'Paths of the route and its classes are compared without regard to letter case. http only',
      alias: 'The user, alias or number that the protocol names (ldap, sip, h323, rdp), without regard to letter case; `*` at its end stands for anything',
      clientCertificate: 'Only with a client certificate that the TLS policy of that name has verified; `{}` is any of them. Not for tls',
      'clientCertificate.subject': 'And this common name',
      classes: 'Named sets of addresses below the route; the one with the longest path is the request\'s. http only',
      'classes[].name': 'For the journal and explain',
      'classes[].paths': 'Prefixes of whole segments',
      'classes[].methods': 'Such as `["GET", "HEAD"]`. Absent: every method',
      onlyClasses: 'What is in no class is refused',
      target: 'Where it leads: one of the five kinds below. For http any of them; else `tcp`, `tls` or `device`; for tls `tcp` or `device`',
      largeHeads: 'Request heads up to 64 KiB instead of 16. http only',
      application: 'The server knows devices by their address: [application](#application). Absent: it is told nothing of devices',
    },
  },
  {
    title: '### Application',
    at: 'routes[].application',
    before: 'For a route to a server that knows devices by their address; its target is `tcp` or `tls`. How to choose: [applications that know devices by their address](../operate/applications.md).',
    examples: [{ file: 'application.json', of: 'routes', names: ['print'] }],
    fields: {
      tell: 'How the server hears the device\'s address. `"headers"`: `X-Forwarded-For` and its kin, and a signed `X-Postern-Identity`; http only · `"proxy-v1"`, `"proxy-v2"`: a PROXY header before the connection · `"virtual"`: the connection comes from the device\'s virtual address',
      address: 'Which address headers and PROXY headers name: the device\'s in its LAN, or its virtual one',
      require: '`"verified"`: only devices of which something else than the address says who they are · `"address"`: also those that only their address tells · `"any"`: with `assigned` set to false, also what nobody knows; it comes from its own address',
      assigned: 'Only devices that are job sources of this application',
      session: 'What joins the requests of one device',
      'session.jar': 'Cookies of the application are kept in the gateway, not given to the device. http only',
      'session.urlPrefix': 'The application is at `/s/SESSION/…`, and its pages\' addresses are rewritten so; for panels that keep no cookie and share an address with others. http only',
      'session.idleMinutes': 'A session without a request ends after so long',
      'session.absoluteHours': 'It ends after so long whatever comes',
      callbacks: 'Ports at which the server reaches the device at its virtual address; `tell` or `address` is `"virtual"`',
      'callbacks[].transport': 'What is listened for there',
      'callbacks[].port': 'Of the virtual address. Below 1024 the gateway needs a [privilege](../operate/virtual-addresses.md#ports)',
      'callbacks[].to': 'Of the device. Absent: the same',
      signed: 'The name of the secret that `X-Postern-Identity` is signed with (HS256). Absent: the gateway\'s own key (EdDSA)',
    },
  },
  {
    title: '### Target `tcp`',
    at: 'routes[].target(tcp)',
    before: 'A server, without TLS of ours.',
    examples: frontDoor('routes', 'mailbox'),
    fields: {
      host: 'A name or address, dialled by the gateway',
      port: 'http is spoken to it as plain HTTP/1.1, other protocols as they came',
      proxyProtocol: 'Tell the server who the client is, by a PROXY protocol header in front. Absent: none',
    },
  },
  {
    title: '### Target `tls`',
    at: 'routes[].target(tls)',
    before: 'A server, with TLS between the gateway and it: 1.2 or better.',
    examples: frontDoor('routes', 'directory', 'phones'),
    fields: {
      host: 'A name or address, dialled by the gateway',
      port: 'Its port',
      verify: 'How the server proves who it is, by one of three ways',
      'verify(name).by': 'By the name in its certificate, and a chain to a CA. Beside it:',
      'verify(name).name': 'The name it must have. Absent: `serverName`, else `host`',
      'verify(name).ca': 'The CA\'s certificate, PEM. Absent: the CAs that this system trusts',
      'verify(ca).by': 'By a chain to a CA, whatever the name. Beside it:',
      'verify(ca).ca': 'The CA\'s certificate, PEM',
      'verify(fingerprint).by': 'By its certificate alone, signed by whomever, expired or not. Beside it:',
      'verify(fingerprint).sha256': 'SHA-256 of the certificate, in hex, with or without colons',
      serverName: 'The name that TLS asks for (SNI). Absent: the name verified, or `host`; none where that is an address',
      certificate: 'A certificate of the gateway, by its name, that is shown to the server. Absent: none',
      proxyProtocol: 'As for `tcp`; the header stands in front of TLS',
      checkCertificate: 'TLS towards the server only for a client whose certificate names the user that the protocol names. For ldap, sip and h323. Absent: for every client',
      'checkCertificate.otherwise': 'All others are refused with `"refuse"`, or led to this port of the server without TLS',
    },
  },
  {
    title: '### Target `device`',
    at: 'routes[].target(device)',
    before: 'A port of a device, through the tunnel. **Nobody has to sign in for such a route.**',
    examples: frontDoor('routes', 'print'),
    fields: {
      device: 'By id, label or `customer/name`; only an id never passes on to another device',
      port: 'Dialled by its agent. For http routes, https ports are spoken to with TLS',
    },
  },
  {
    title: '### Target `redirect`',
    at: 'routes[].target(redirect)',
    before: '',
    examples: [{ file: 'redirect.json', of: 'routes' }],
    fields: {
      to: 'An http or https address, or a path. Sent as it is: path and query of the request are not added',
      status: 'The status of the answer',
    },
  },
  {
    title: '### Target `respond`',
    at: 'routes[].target(respond)',
    before: '',
    examples: [{ file: 'respond.json', of: 'routes' }],
    fields: {
      status: 'The status of the answer',
      body: 'The whole body',
      contentType: 'Its media type',
    },
  },
  {
    title: '## ACME',
    at: 'acme',
    before: 'Defaults for certificates from a public authority, and whether they are ordered by themselves: [certificates by ACME](../operate/certificates-acme.md). Accounts and keys for DNS are not in the configuration.',
    examples: [{ file: 'acme.json', of: 'acme' }],
    fields: {
      directory: '`lets-encrypt`, `lets-encrypt-staging`, `zerossl`, `google`, or the https address of an authority\'s directory',
      contact: 'A mail address for the authority\'s warnings',
      termsAgreed: 'You have read the authority\'s terms. `onDemand` needs it',
      challenge: 'How the authority sees that a name is yours: [the three checks](../operate/certificates-acme.md#the-three-checks)',
      keyKind: 'The kind of key; each renewal makes a new one',
      dns: 'For `dns-01`: how the record is made. Its fields: [DNS-01](../operate/certificates-acme.md#dns-01)',
      root: 'Of a private ACME server\'s own certificate, PEM. Absent: the CAs that this system trusts',
      onDemand: 'Order for each name of the gateway at its first visit; by `dns-01` one wildcard for the whole domain',
    },
  },
  {
    title: '## Retention',
    at: 'retention',
    before: 'How long what grows is kept: by age in days, and by a bound whatever the age. [What is kept, and for how long](../operate/retention.md) has what holds where nothing is said.',
    examples: [{ file: 'retention.json', of: 'retention' }],
    fields: {
      auditDays: 'Lines of the audit; the last hundred stay in any case',
      auditBytes: 'The same by their size, about',
      visitsDays: 'Visits that have ended',
      visitsMax: 'So many visits',
      journalDays: 'Lines of the journal, which is in memory and begins anew with each start',
      journalLines: 'So many lines of it',
      recordsDays: 'Data of devices, for each feed of which `feeds` says nothing else. Absent: for ever',
      recordsBytes: 'So many bytes of each feed, likewise. Absent: without a bound',
      filesDays: 'Files that devices brought. Absent: for ever',
      filesBytes: 'So many bytes of them in all',
      samplesDays: 'Readings that probes made of supplies and counters',
      recordingsDays: 'Recordings of visits. There are none yet',
      recordingsBytes: 'So many bytes of them in all',
      storeBytes: 'So much the store may take in all; at nine tenths of it is warned, at the whole new visits and pushes are refused. For PostgreSQL, whose disk cannot be seen from here. Absent: as much as there is',
    },
  },
  {
    title: '## Address pool',
    at: 'addressPool',
    before: 'Virtual addresses of devices, for applications that hear those. What the machines need for them: [virtual addresses](../operate/virtual-addresses.md).',
    examples: [{ file: 'application.json', of: 'addressPool' }],
    fields: {
      networks: 'Networks that nobody else uses, as `198.51.100.0/24`; addresses are given from the first that has one left',
      callers: 'Addresses and networks from which devices may be called back; `127.0.0.1` stands for this machine. Absent: each device by the servers of its own applications, and by this machine',
    },
  },
  {
    title: '## Probes',
    at: 'probes',
    before: 'Asking devices what they are, through the agents of their sites. Without it, everything is as the defaults say.',
    fields: {
      everyMinutes: 'Devices of applications, and those that have a profile, are asked so often, each at its own place in that time. `0`: only at first sight, when they open an application, and when somebody wants it',
      freshMinutes: 'A profile that is older is read again when its device opens an application; a serial that was read counts for so long',
      perSecond: 'So many datagrams and connections one agent sends to devices in a second',
      atOnce: 'So many devices one agent asks at the same time',
    },
  },
  {
    title: '## Strangers',
    at: 'strangers[]',
    before: 'Serials that no device has. Without any entry they wait, and bring no data. [Keys, approval and pins](../operate/devices-push.md) has the whole way.',
    fields: {
      customer: 'Of this customer, by its key. Absent: of every customer without an entry of its own',
      policy: '`"refuse"`: they are turned away · `"wait"`: they wait to be approved · `"quarantine"`: they wait, and bring data meanwhile',
      quarantineBytes: 'So much data of each that waits; beyond it is told to come back later',
      keyless: 'Devices that were never given a key may push with nothing but their serial. Whoever knows a serial can then send data in its name',
    },
  },
  {
    title: '## Feeds',
    at: 'feeds[]',
    before: 'In order; the first entry that fits a feed counts for it. Without any, a feed has lines and is kept as [retention](#retention) says. [Bringing data home](../operate/data.md) begins at the beginning.',
    examples: [{ file: 'feeds.json', of: 'feeds', names: ['calls', 'debug'] }],
    fields: {
      name: 'For people; unique names are not asked for',
      feeds: 'Names of feeds, with `*`',
      devices: 'Serials of their devices, with `*`. Absent: any',
      customer: 'Feeds of this customer\'s devices, by its key. Absent: of all',
      format: 'How bytes are cut into [records](../wire/device.md#3-records) where the device does not say: `raw`, `lines`, `u16`, `u32`, `stamped`, `fixed:N`. Absent: `lines`. Counts from the next epoch on',
      keepDays: 'Records older than this are dropped. Absent: as `retention.recordsDays` says',
      keepBytes: 'So many bytes of each feed are kept. Absent: as `retention.recordsBytes` says',
      alerts: 'Records that somebody is told of',
      'alerts[].name': 'Unique in the document',
      'alerts[].pattern': 'RE2; a record that it finds queues an alert, once, in the transaction that stores it. Its first 4 KiB are looked at',
      'alerts[].webhook': 'Where the alert is posted. Absent: it is shown, and posted nowhere',
      'alerts[].secret': 'Name of the secret that the post is signed with',
      prio: 'RE2; devices are told it at check-in, and push a record that it finds at once',
    },
  },
  {
    title: '## Check-ins',
    at: 'checkIn',
    before: 'What devices are told when they [check in](../wire/device.md#5-check-in).',
    fields: {
      pollSeconds: 'Between two check-ins of a device. One that waits to be approved comes after ten minutes at most',
      jitterSeconds: 'The most that it waits, at random, after power-up; and over which the gateway spreads those that it cannot take at once',
      pushSeconds: 'The most that it holds data before it pushes',
      zone: 'The time zone of devices that name none, like `Europe/London`. Absent: they are told none',
    },
  },
  {
    title: '## Pins',
    at: 'pins',
    before: 'Keys of the gateway change only when the devices that pin them have the next one: [pins](../operate/devices-push.md#pins).',
    fields: {
      activeDays: 'A device that was not seen for so many days is waited for no more',
      keepOldDays: 'A key that was replaced stays on the devices\' lists for so many days, so that one can go back to it',
    },
  },
  {
    title: '## Servers',
    at: 'servers[]',
    before: 'Other gateways, or whatever speaks the [device protocol](../wire/device.md). How rules use them: [sending devices to other servers](../operate/redirects.md).',
    examples: [{ file: 'redirects.json', of: 'servers', names: ['in2', 'acme-lan'] }],
    fields: {
      name: 'For rules and the journal; unique, and not `here`, which stands for this gateway in rules',
      base: 'Ends in `/v1/` and a customer\'s key, or in `/v1`: then the key of the device\'s customer follows. Only devices have to reach it; not an address of this gateway',
      pins: 'Fingerprints of its key, as curl\'s `--pinnedpubkey` has them. They are announced to devices before one is sent there; a device that pins is sent only where it knows one. None for plain http',
      weight: 'Its share where the strategy goes by weights; 0: none',
      drain: '`"new"`: it gets no new devices, those that are there leave as their leases end · `"now"`: they leave at their next request here',
    },
  },
  {
    title: '## Redirects',
    at: 'redirects[]',
    before: 'In order; the first rule whose conditions all hold decides. [What each condition and strategy means](../operate/redirects.md#rules).',
    examples: [{ file: 'redirects.json', of: 'redirects', names: ['acme-at-home', 'new-ones'] }],
    fields: {
      name: 'For the journal and the preview; unique',
      customer: 'Devices of this customer, by its key',
      serials: 'Serials, patterns (`SN1*`) and ranges (`SN100..SN199`); one of them must hold',
      deviceName: 'The device\'s name, as a pattern',
      host: 'The name that the device dialled, or `*.` and a host name',
      path: 'The beginning of what it asks for, behind the customer, in whole parts: `push`, `push/SN1/cdr`, `file`',
      from: 'Addresses and networks that it comes from',
      tag: 'A tag of the device',
      suspended: 'Whether its customer\'s account is suspended',
      strategy: 'How one of the servers is chosen; `"stay"`: the device is answered here',
      servers: 'Names of servers; `"here"` is this gateway',
      ttlSeconds: 'How long a device stays where it was sent',
      status: 'Of the answer; both keep method and body',
    },
  },
  {
    title: '## Sinks',
    at: 'sinks[]',
    before: 'Where records go on to. Each sink has its own position in each feed, none waits for another, and each can begin again at any offset that is kept. What every kind has:',
    fields: {
      name: 'Its positions are kept under it; unique. Under another name it begins at the oldest that is kept',
      feeds: 'Names of feeds, with `*`',
      devices: 'Serials of their devices, with `*`. Absent: any',
      customer: 'Feeds of this customer\'s devices, by its key. Absent: of all',
      enabled: '`false`: it pauses, and goes on where it was',
      parser: 'How a record becomes columns. Absent: it goes on as it is. One that the parser does not understand goes on, too, with what is wrong with it',
      'parser(csv).kind': 'Values between delimiters. Beside it:',
      'parser(csv).delimiter': 'Between two values',
      'parser(csv).quote': 'Around a value that may have the delimiter in it; twice for itself',
      'parser(csv).columns': 'In order: names, or objects with `name`, `type`, `format` and `zone` as below',
      'parser(csv).skip': 'RE2; records that it finds are no records: headings, page ends',
      'parser(csv).key': 'Columns that name the same thing at its source: a record that comes again under another offset is known by them',
      'parser(columns).kind': 'Columns of fixed width. Beside it:',
      'parser(columns).columns': 'Each with its place',
      'parser(columns).columns[].name': 'Its name',
      'parser(columns).columns[].start': 'Its first character, from 1',
      'parser(columns).columns[].length': 'Its length in characters',
      'parser(columns).columns[].type': 'What it holds. Absent: text',
      'parser(columns).columns[].format': 'Of a time: `iso`, `unix`, `unix-ms`, or a pattern of `%Y %y %m %d %b %H %I %M %S %f %p %z`; of a duration: `seconds`, `ms`, `minutes`, `tenths`, `h:m:s`, `h:m\'s`, `hmmss`, `hmmt`',
      'parser(columns).columns[].zone': 'Of times that name none, like `Europe/London`. Absent: UTC',
      'parser(columns).skip': 'As for `csv`',
      'parser(columns).key': 'As for `csv`',
      'parser(regex).kind': 'What a pattern finds. Beside it:',
      'parser(regex).pattern': 'RE2; its named groups are the columns',
      'parser(regex).columns': 'What they hold, as for `csv`',
      'parser(regex).skip': 'As for `csv`',
      'parser(regex).key': 'As for `csv`',
      'parser(json).kind': 'JSON objects. Beside it:',
      'parser(json).columns': 'As for `csv`, each with a `path` of names with dots between them where its name is not that. Absent: all that is at the top',
      'parser(json).skip': 'As for `csv`',
      'parser(json).key': 'As for `csv`',
      'parser(preset).kind': 'Call records of a telephone system that is known. Beside it:',
      'parser(preset).preset': 'Which',
      'parser(preset).zone': 'Where its clock is. Absent: UTC',
    },
  },
  {
    title: '### Sink `files`',
    at: 'sinks[](files)',
    before: 'NDJSON files below `sinks` of the data folder.',
    fields: {
      folder: 'The folder there',
      rotateBytes: 'A file that has so many bytes is closed, and the next begun',
      rotateHours: 'The same after so many hours',
      gzip: 'Whether closed files are compressed',
      keepDays: 'They are removed after so many days. Absent: never',
    },
  },
  {
    title: '### Sink `sql`',
    at: 'sinks[](sql)',
    before: 'Rows of a table; rows and position in one transaction.',
    fields: {
      database: 'A file below `sinks` of the data folder, by its name, or `postgres://USER@HOST/DATABASE`',
      table: 'Its table; made where it is not there',
      secret: 'The name of the secret that is the password',
    },
  },
  {
    title: '### Sink `webhook`',
    at: 'sinks[](webhook)',
    before: 'Batches by `POST`, each with an `Idempotency-Key` that stays the same when it is sent again.',
    fields: {
      url: 'Where they go',
      secret: 'The name of the secret that each is signed with',
      batchRecords: 'The most records of one',
      batchMs: 'The most that a record waits for others',
      ca: 'The CA\'s certificate, PEM. Absent: the CAs that this system trusts',
    },
  },
  {
    title: '### Sink `nats`',
    at: 'sinks[](nats)',
    before: 'Messages of a JetStream stream, each with an id by which the server knows a repeat.',
    fields: {
      servers: 'Their addresses',
      subject: 'Of the messages; `{customer}`, `{serial}` and `{feed}` stand for the record\'s own',
      user: 'Who signs in',
      secret: 'The name of the secret that it signs in with',
      ca: 'As for `webhook`',
    },
  },
  {
    title: '### Sink `kafka`',
    at: 'sinks[](kafka)',
    before: 'Messages of a topic.',
    fields: {
      brokers: 'Addresses with ports, to begin with',
      topic: 'Its name',
      tls: 'Whether connections have TLS',
      user: 'Who signs in (SASL)',
      secret: 'The name of the secret that is the password',
      ca: 'As for `webhook`',
    },
  },
];

function describeType(schema: JsonSchema): string {
  if (schema.const !== undefined) return code(JSON.stringify(schema.const));
  if (schema.enum) return schema.enum.map((each) => code(JSON.stringify(each))).join(', ');
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) {
    if (choices.every((each) => each.properties)) return 'object';
    const kinds = [...new Set(choices.map(describeType))];
    return choices.every((each) => each.const !== undefined) ? kinds.join(', ') : kinds.join(', or ');
  }
  const { minimum, maximum, minLength, maxLength, minItems, maxItems } = schema;
  const range = (least: number | undefined, most: number | undefined, unit: string) => (most === undefined ? '' : ` (${least ?? 0} to ${most.toLocaleString('en')}${unit})`);
  switch (schema.type) {
    case 'array':
      return `list${range(minItems, maxItems, '')}${schema.items?.enum ? ` of ${describeType(schema.items)}` : ''}`;
    case 'string':
      return `text${range(minLength, maxLength, ' characters')}`;
    case 'integer':
      return `whole number${range(minimum, maximum, '')}`;
    case 'boolean':
      return 'true or false';
    case 'null':
      return '`null`';
    default:
      return schema.type ?? 'any';
  }
}

/** The field by which kinds of a union differ: `kind`, `by`. */
const tagOf = (variants: readonly JsonSchema[]): string | undefined => Object.keys(variants[0]?.properties ?? {}).find((key) => variants.every((each) => each.properties?.[key]?.const !== undefined));
const variantsOf = (schema: JsonSchema): readonly JsonSchema[] | null => {
  const choices = schema.oneOf ?? schema.anyOf;
  return choices?.every((each) => each.properties) ? choices : null;
};

interface Field {
  readonly place: string;
  readonly schema: JsonSchema;
  readonly isRequired: boolean;
}

/** Every field below a schema, by its place: `listeners[].name`, `routes[].target(tls).verify(name).ca`. */
function fieldsOf(schema: JsonSchema, before: string): Field[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, field]): Field[] => {
    const place = before === '' ? key : `${before}.${key}`;
    const own = { place, schema: field, isRequired: schema.required?.includes(key) === true };
    const variants = variantsOf(field);
    if (variants) {
      const tag = tagOf(variants)!;
      return [own, ...variants.flatMap((each) => fieldsOf(each, `${place}(${String(each.properties![tag]!.const)})`))];
    }
    const { items } = field;
    const kinds = items && variantsOf(items);
    if (kinds) {
      const tag = tagOf(kinds)!;
      const isCommon = (name: string) => kinds.every((each) => JSON.stringify(each.properties![name]) === JSON.stringify(kinds[0]!.properties![name]));
      const only = (schemas: JsonSchema, wanted: (name: string) => boolean): JsonSchema => ({ ...schemas, properties: Object.fromEntries(Object.entries(schemas.properties!).filter(([name]) => wanted(name))) });
      return [own, ...fieldsOf(only(kinds[0]!, isCommon), `${place}[]`), ...kinds.flatMap((each) => fieldsOf(only(each, (name) => !isCommon(name)), `${place}[](${String(each.properties![tag]!.const)})`))];
    }
    if (items?.properties) return [own, ...fieldsOf(items, `${place}[]`)];
    return [own, ...fieldsOf(field, place)];
  });
}

/** As in the papers: on one line where that can be read, else one field a line. */
function written(value: unknown, indent = ''): string {
  const inline = (each: unknown): string => {
    if (Array.isArray(each)) return `[${each.map(inline).join(', ')}]`;
    if (typeof each !== 'object' || each === null) return JSON.stringify(each);
    const parts = Object.entries(each).map(([key, field]) => `${JSON.stringify(key)}: ${inline(field)}`);
    return parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`;
  };
  const whole = inline(value);
  if (indent.length + whole.length <= 140 || typeof value !== 'object' || value === null) return whole;
  const deeper = `${indent}  `;
  if (Array.isArray(value)) return `[\n${value.map((each) => deeper + written(each, deeper)).join(',\n')}\n${indent}]`;
  return `{\n${Object.entries(value).map(([key, field]) => `${deeper}${JSON.stringify(key)}: ${written(field, deeper)}`).join(',\n')}\n${indent}}`;
}

function examplesOf({ title, examples = [] }: Section): string[] {
  return examples.flatMap(({ file, of, names }) => {
    const stands = (JSON.parse(readFileSync(join(root, 'examples', file), 'utf8')) as Record<string, unknown>)[of];
    const parts = !Array.isArray(stands) ? [stands] : names && names.length > 0 ? names.map((name) => (stands as { name: string }[]).find((each) => each.name === name)) : (stands as unknown[]).slice(0, 1);
    if (parts.some((part) => part === undefined)) throw new Error(`scripts/reference-config.ts: examples/${file} does not have what ${title} shows`);
    return parts.map((part) => `\`\`\`json part\n${written(part)}\n\`\`\``);
  });
}

export function configReference(): string {
  const all = fieldsOf(z.toJSONSchema(configSchema, { io: 'input' }) as JsonSchema, '');
  const told = new Set<string>();
  const parts = sections.map((section) => {
    const under = section.at === '' ? '' : `${section.at}.`;
    const rows = Object.entries(section.fields).map(([name, meaning]) => {
      const place = under + name;
      const field = all.find((each) => each.place === place);
      if (!field) throw new Error(`scripts/reference-config.ts speaks of ${place}, which the configuration does not have`);
      told.add(place);
      const value = field.schema.default === undefined ? (field.isRequired ? 'required' : 'absent') : code(JSON.stringify(field.schema.default));
      const isTarget = place === 'routes[].target';
      return [code(name.replace(/\(\w+\)/g, '')), isTarget ? 'object' : describeType(field.schema), value, meaning];
    });
    return [section.title, ...(section.before ? [section.before] : []), table(['field', 'value', 'default', 'meaning'], rows), ...examplesOf(section)].join('\n\n').trimEnd();
  });
  // What chooses a kind of target stands in that section's title.
  const silent = all.map(({ place }) => place).filter((place) => !told.has(place) && !place.endsWith(').kind'));
  if (silent.length > 0) throw new Error(`scripts/reference-config.ts says nothing about ${silent.join(', ')} of the configuration`);
  return `# Reference: configuration

${from('src/model/config.ts')}
A JSON document: what \`postern export\` writes and \`postern apply -f FILE\` takes, whole or not at all: [changing the configuration](../operate/changes.md). Unknown fields are refused.
Devices, people, rights, certificates and keys are not in it: they live in the data folder and change through the console, the API and the command line.
Whole documents stand in [examples](../../examples).

${parts.join('\n\n')}

## What is built in

Every domain has these routes without being told. A route of yours with the same host and path, and no listeners of its own, does not compile.

| host | path | leads to |
| --- | --- | --- |
| the domain | \`/\` | console, API, metrics |
| the domain | \`/stream\` | users' streams: \`postern ssh\`, \`connect\`, \`forward\` |
| the domain | \`/ca\` | the private CA's certificate, on plain listeners too |
| \`*.\` the domain, or \`*.\` the device domain | \`/\` | devices, by label |
| by ALPN \`postern-link/1\`, or by the server name \`link.<domain>\` | \`/link\`, \`/link/join\`, \`/link/renew\` | links of agents |
| any | \`/.well-known/acme-challenge/…\` | the answer that an authority was asked to look for; every other path below it is your routes' |
| by ALPN \`acme-tls/1\` | | the same, for \`tls-alpn-01\` |

## Which route wins

Exact host before wildcard, longer wildcard before shorter, any host last. Within a host the longer path wins; then the route that asks for a client certificate, first the one that says whose; then the longer alias; then the one that names its listeners.
The first that fits is taken. A route that asks for a certificate has no way around it: without one the request is refused, not led to a broader name. Two routes that are equal in all of this do not compile.

Of TLS passed through and TLS ended here, the more specific name wins; the same name cannot be both.

What no route takes is refused: for http 421 for a name that nobody has, 404 for a path. Where a host has a route with a path, and on the gateway's own names, a request path with dot
segments is refused with 400. On a plain listener that no route names, a gateway whose first domain is not \`localhost\` answers 308 to HTTPS;
connections from this machine itself are answered there as over TLS, as far as the built-in routes go.
\`postern explain ADDRESS\` tells the whole way, with \`--file FILE\` for a configuration that is not applied yet.
`;
}
