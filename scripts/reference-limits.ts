// docs/reference/limits.md: every limit with what it bounds. A limit without a sentence here stands with an empty cell; a sentence
// without a limit fails.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { limits } from '#base/limits.ts';
import { code, from, table } from './reference-page.ts';

const meanings: Readonly<Record<string, string>> = {
  sniffBytesMax: 'first bytes of a connection that are looked at',
  sniffTimeoutMs: 'for them to say what the connection is; a listener may set its own',
  proxyHeaderBytesMax: 'a PROXY header of version 2',
  tlsHandshakeTimeoutMs: 'one handshake, from hello to end',
  tlsHandshakesMax: 'handshakes at once; more wait in order',
  tlsHandshakesWaitingMax: 'that wait; more are closed',
  tlsHandshakeSlotMs: 'how long a handshake keeps its place once our part of it is sent',

  ldapMessageBytesMax: 'one message; more ends the connection',
  ldapNameBytesMax: 'the name of a bind, the base of a search',
  ldapLayerBytesMax: 'one buffer inside a SASL security layer',
  h323PduBytesMax: 'one message; more ends the connection',
  sshBannerBytesMax: 'the line with which a client begins',

  sipLeadingBytesMax: 'empty lines before the first message',
  sipHeadBytesMax: 'the head of a message; more ends the connection',
  sipHeadFieldsMax: 'its lines; more is a 400',
  sipBodyBytesMax: 'the body of a message; more is a 413',
  sipMessageTimeoutMs: 'from the first byte of a message to its last',
  sipRefusedPerConnMax: 'requests refused, and answers that nobody asked for; then the connection ends',
  sipUnreadBytesMax: 'what waits for a client that does not read',

  connsMax: 'connections of clients; more are closed',
  connsPerAddressMax: 'of them, from one address (of IPv6 from one /64), this machine\'s own excepted; behind a PROXY header for the address that it names, for trusted proxies without limit',
  writeHighWaterBytes: 'what may wait in a pair of in-process streams',

  headBytesMax: 'the head of a request; more is a 431',
  headBytesGrownMax: 'the same where a route has `largeHeads`, and for devices',
  headFieldsMax: 'lines of a head',
  headTimeoutMs: 'for a head to come whole; then a 408',
  keepAliveIdleMs: 'a connection without a request',
  bodyIdleMs: 'a body that stands still',
  answerHeadTimeoutMs: 'for a server to begin its answer; then a 504',
  halfClosedMs: 'for a client to take a last word from us before its connection is cut',
  relayIdleMs: 'a relayed connection on which nothing moves',
  pipelinedBytesMax: 'requests that wait for their turn; then the client is not read',
  chunkLineBytesMax: 'the line before a chunk',
  trailerBytesMax: 'the lines behind the last chunk',
  interimAnswersMax: 'answers of 1xx before the real one',
  exchangesPerConnMax: 'requests on one connection; then it is closed in order',
  upstreamIdleMs: 'a server\'s connection that waits for its next request',
  upstreamIdlePerTargetMax: 'such connections for one target',
  upstreamIdleMax: 'such connections in all',
  dialTimeoutMs: 'for a server to answer a dial, its TLS included',
  deviceDialTimeoutMs: 'for a device',
  retryBodyBytesMax: 'a request\'s body that is held for a second try',

  http2StreamsMax: 'requests at once on a connection',
  http2HeadListBytesMax: 'a head, as announced to clients; what we take is `headBytesMax`',
  http2HeadPairsMax: 'fields of a head, pieces of cookies counted one by one',
  http2StreamWindowBytes: 'of a body, before its server takes it',
  http2ConnWindowBytes: 'of all bodies of a connection',
  http2ConnMemoryMegabytes: 'one connection, what waits in bodies not counted; then new requests are refused',
  http2RefusedStreamsMax: 'requests beyond the limit; then the connection ends',
  http2InvalidFramesMax: 'frames that are none; then the connection ends',
  http2SettingsValuesMax: 'values in one SETTINGS',
  http2ResetsPerMinuteMax: 'requests begun and given up; then the connection ends',
  http2PingsPerMinuteMax: 'PINGs; then the connection ends',
  http2SettingsPerMinuteMax: 'SETTINGS; then the connection ends',

  frameBytesMax: 'data in one frame of a stream, as we send it',
  windowStartBytes: 'sent in a stream before the other end takes it, at its beginning',
  windowBytesMax: 'to which that may grow on a long line',
  streamsPerLinkMax: 'streams of a link at once',
  streamsUnansweredMax: 'of them, asked for and not answered yet',
  prefaceBytesMax: 'what a stream begins with',
  prefaceTimeoutMs: 'for it to come',
  messageBytesMax: 'one message between gateway and agent',
  memoryBudgetBytes: 'held in all streams; then the one that holds most and moves least is reset',
  keepAliveEveryMs: 'between pings, each way',
  keepAliveLostMs: 'without anything; then the link is given up',
  linksMax: 'links of agents',
  reconnectFirstMs: 'an agent\'s rest before it dials again',
  reconnectMaxMs: 'to which that doubles',
  instanceChangesPerMinuteMax: 'changes of an agent\'s process; more is one identity on two machines',
  webSocketFrameBytesMax: 'one frame of a link',
  messageSendBytesMax: 'one message of a link, as we send it',
  controlBytesMax: 'answers and windows that wait to be sent; then the link ends',
  reconnectSettledMs: 'a link that stands so long has settled: the next rest is the first again',
  drainRedialMaxMs: 'over which agents spread their dials when a gateway drains',
  turnRetriesMax: 'dials with a higher turn, after the gateway named one',
  refusedStreamMs: 'for a refusal to be read before its stream is cut',
  linksPerAgentMax: 'links of one agent, those that are ending included',
  flowsPerLinkMax: 'UDP flows of a link, and of a caller',
  flowsMax: 'UDP flows in all, at the gateway and at an agent',
  flowsPerListenerMax: 'sources of `postern forward`; the one that was silent longest makes room',
  flowIdleMs: 'a flow without datagrams, where it begins',
  flowIdleFarMs: 'the same at its other ends',
  datagramAgeMaxMs: 'a datagram that waited longer is dropped',
  flowQueueDatagramsMax: 'datagrams of a flow that wait',
  flowQueueBytesMax: 'their bytes',
  flowEarlyDatagramsMax: 'datagrams of a source that wait for its flow; the oldest go',
  flowRestMs: 'after a flow failed, until its source gets another',
  flowDropNoteMs: 'between lines of the journal about dropped datagrams',

  installChainBytesMax: 'the chain handed to an agent',
  installKeyBytesMax: 'its key',
  installMessagesMax: 'questions in one installation',
  installsWaitingMax: 'installations that wait at an agent',
  installReadTimeoutMs: 'for a message of an installation',
  installTimeoutMs: 'one installation, with its command',
  installCommandTimeoutMs: 'its command',
  installCommandOutputBytesMax: 'what is kept of what the command says',
  recordShownBytesMax: 'of one record that the API shows',
  recordsPageBytesMax: 'of records in one answer of the API',
  redirectFailedMs: 'that a device is not sent to a server again where it could not deliver without having a lease there',
  redirectFailuresMax: 'devices of which such failures are remembered',
  redirectSealsRememberedMax: 'devices that were sent away, and whose seals need not be looked for again',
  leaseNotesEveryMs: 'from a choice of server to its line in the store',
  leaseSweepEveryMs: 'from the end of a lease until it is counted no more',
  tagsPerDeviceMax: 'tags of a device',
  deliveriesMax: 'certificates that agents put in place',
  deliveriesAtOnceMax: 'installations at once',
  deliveryLookMs: 'from a change to its first delivery',
  deliveryRetryFirstMs: 'from a failure to the next try',
  deliveryRetryMaxMs: 'to which that doubles',

  passwordCharsMin: 'a password, at least',
  passwordCharsMax: 'a password, at most',
  signInsPerPersonMax: 'sign-ins of a person',
  signInIdleMs: 'a sign-in that is not used',
  signInAbsoluteMs: 'a sign-in, used or not',
  signInFailuresPerMinuteMax: 'wrong passwords: twice as many from one network, five times as many for one login; then each further try waits longer',
  tokensPerPersonMax: 'access tokens of a person',
  oneTimeCodeMs: 'the code that carries a sign-in to a device\'s name',
  handOverAskedMs: 'how long a browser may take to fetch it',
  joinTokenMs: 'a join token',
  inviteMs: 'an invitation',
  loginCodeMs: 'the code of `postern login`',

  devicesMax: 'devices',
  portsPerDeviceMax: 'ports of a device',
  routesMax: 'routes of a configuration',
  networksPerListMax: 'addresses and networks in one list',
  classesPerRouteMax: 'classes of a route',
  pathsPerClassMax: 'paths of a class, and of a route',
  tlsPoliciesMax: 'TLS policies of a configuration',
  trustedProxiesMax: 'trusted proxies of a configuration',
  legacyClientsMax: 'clients in the list of the legacy lane',
  journalLinesMax: 'lines of the journal; the oldest go and are counted',
  visitsKeptMax: 'visits kept in the store; the audit keeps its lines',
  visitsLiveMax: 'visits at once',
  visitIdleMs: 'a visit of a browser without requests',
  eventStreamsMax: 'event streams of consoles',
  apiBodyBytesMax: 'the body of a request to the API',
  apiStrangerBodyBytesMax: 'the same from who has not signed in',
  oldLabelMs: 'how long a former label leads to the new one',
  certificatesMax: 'certificates of people and of ACME',
  certificateNamesMax: 'names in one',
  certificateUploadBytesMax: 'one upload',
  certificateUploadPartsMax: 'certificates and keys in it',

  acmeDomainPerWeekMax: 'certificates for names of one registered domain',
  acmeEqualPerWeekMax: 'certificates for the same names',
  acmeFailuresPerHourMax: 'failed checks of a name',
  acmeOrdersPer3HoursMax: 'orders with one authority',
  acmeAnswerBytesMax: 'one answer of an authority',
  acmeRequestTimeoutMs: 'one request to it',
  acmeCheckTimeoutMs: 'for it to look and decide',
  acmeOrdersAtOnceMax: 'orders at once',
  acmeOnDemandMax: 'certificates ordered at first visits',
  acmeAccountRetryMs: 'after an account could not be registered, until the next try at a first visit',
  acmeWaitingMax: 'orders that wait',
  acmeAnswersMax: 'answers that authorities may come to look for',
  acmeDnsShownTimeoutMs: 'for name servers to show a record',
  acmeCommandTimeoutMs: 'a command that changes DNS',
  acmeCommandOutputBytesMax: 'what is kept of what it says',
  dnsDatagramBytesMax: 'a question or answer by UDP; longer ones go by TCP',
  dnsTimeoutMs: 'one question',
  dnsTriesMax: 'tries of it',
  dnsServersMax: 'name servers that are asked for one name',
  dnsCnamesMax: 'CNAMEs that are followed',

  storeQueueMax: 'writes that wait; more are refused',
  storeBatchMax: 'writes in one transaction',
  storeAnswerTimeoutMs: 'a PostgreSQL server that does not answer for so long is lost',
  storeMigrationTimeoutMs: 'the same while the schema is brought up to date',
  storeRetryPauseMaxMs: 'longest pause between two tries to reach it again',
  revisionsKeptMax: 'revisions of the configuration',
  confirmWithinMinMs: 'shortest time for `--confirm`',
  confirmWithinMaxMs: 'longest',
  configDifferencesMax: 'differences that are told of a change',

  feedsPerAgentMax: 'feeds in one agent\'s file',
  feedDestinationsMax: 'destinations in one agent\'s file',
  feedBasesMax: 'addresses of one destination',
  feedPinsMax: 'fingerprints of servers in a destination or source',
  feedPatternsMax: 'urgent patterns, and split rules, of one feed',
  feedLoginStepsMax: 'steps of a login at a TCP source',
  feedPollHeadersMax: 'header fields that a polling source adds',
  feedPollBytesMax: 'an answer that a source polls for; its own setting is usually less',
  feedBufferMegabytesMax: 'megabytes that a buffer may be given',
  feedRecordBytesMax: 'a record; longer ones are cut there',
  feedClientsMax: 'clients that a TCP source serves at once',
  feedFilesMax: 'files that a file source reads at once',
  feedFilesSeenMax: 'names that a file source\'s folder may have',
  feedUnflushedBytesMax: 'bytes of records on their way to the disk; sources pause above it',
  feedUnflushedDatagramBytesMax: 'the same for datagrams, which cannot pause; more are dropped and counted',
  feedReconnectFirstMs: 'until a source is dialled or opened again, doubling',
  feedReconnectMaxMs: 'what that grows to',
  feedDialTimeoutMs: 'dialling a source',
  feedLoginTimeoutMs: 'one step of a login',
  feedTailLookMs: 'between looks at files that are read',
  feedTailFolderLookMs: 'between looks for new files',
  feedTailQuietMs: 'after which a file that was rotated away and grows no more is let go',
  bufferFlushMs: 'after which a record that is not urgent is on the disk',
  bufferFlushBytes: 'so many bytes go to the disk before that',
  bufferUnwrittenBytesMax: 'waiting in memory for a disk that takes nothing; more is lost, as a gap',
  bufferRetryFirstMs: 'first pause before such a disk is tried again; it doubles',
  bufferRetryMaxMs: 'longest one',
  bufferBootsMax: 'starts of a device, with records of each before it knew the time, that are told apart',
  waitingDevicesPerCustomerMax: 'that wait to be approved for one customer; then the one without data that was silent longest makes room',
  waitingDevicesPerAddressMax: 'from one address',
  waitingReplacedAfterMs: 'for which it must have been silent, so that made-up serials drive nobody out quickly',
  waitingNotedMs: 'between two lines in the store for one that goes on asking',
  waitingAtOnceMax: 'asking side by side; more are answered busy',
  devicesPerImportMax: 'in a request that approves, exports or imports',
};

function amountOf(name: string, value: number): string {
  const whole = (units: readonly (readonly [number, string])[]) => {
    for (const [size, unit] of units) if (value >= size && value % size === 0) return `${(value / size).toLocaleString('en')} ${unit}`;
    return value.toLocaleString('en');
  };
  if (/Ms(?:Max|Min)?$/.test(name)) return whole([[86_400_000, 'days'], [3_600_000, 'hours'], [60_000, 'minutes'], [1_000, 's'], [1, 'ms']]).replace(/^1 (day|hour|minute)s$/, '1 $1');
  if (name.includes('Bytes')) return whole([[2 ** 20, 'MiB'], [2 ** 10, 'KiB'], [1, 'bytes']]);
  return value.toLocaleString('en');
}

export function limitsReference(): string {
  const groups: { title: string; rows: string[][] }[] = [];
  const known: Readonly<Record<string, number>> = limits;
  for (const line of readFileSync(resolve(import.meta.dirname, '../src/base/limits.ts'), 'utf8').split('\n')) {
    const title = /^ {2}\/\/ (.+)$/.exec(line)?.[1];
    if (title) groups.push({ title, rows: [] });
    const name = /^ {2}(\w+):/.exec(line)?.[1];
    if (name) groups.at(-1)!.rows.push([code(name), amountOf(name, known[name]!), meanings[name] ?? '']);
  }
  if (groups.reduce((sum, group) => sum + group.rows.length, 0) !== Object.keys(limits).length) throw new Error('src/base/limits.ts is written in another way than scripts/reference-limits.ts reads it');
  const stale = Object.keys(meanings).filter((name) => !(name in known));
  if (stale.length > 0) throw new Error(`scripts/reference-limits.ts speaks of limits that are not there: ${stale.join(', ')}`);
  return `# Reference: limits

${from('src/base/limits.ts')}
Everything that a peer can make grow is bounded, in number as well as in bytes. They are constants of this version; where a setting comes before one, it says so.
What reaches a bound is refused with a reason and a line in the [journal](journal.md).

${groups.map(({ title, rows }) => `## ${title[0]!.toUpperCase()}${title.slice(1)}\n\n${table(['limit', 'value', 'bounds'], rows)}\n`).join('\n')}`;
}
