// Every limit in one place; counts as well as bytes. Units are in the names.

export const limits = {
  // looking at first bytes
  sniffBytesMax: 16 * 1024,
  sniffTimeoutMs: 5_000,
  tlsHandshakeTimeoutMs: 10_000,
  tlsHandshakesMax: 200,
  tlsHandshakesWaitingMax: 10_000,
  tlsHandshakeSlotMs: 250,

  // connections
  connsMax: 60_000,
  connsPerAddressMax: 2_000,
  writeHighWaterBytes: 64 * 1024,

  // HTTP/1
  headBytesMax: 16 * 1024,
  headBytesGrownMax: 64 * 1024,
  headFieldsMax: 200,
  headTimeoutMs: 15_000,
  keepAliveIdleMs: 75_000,
  bodyIdleMs: 60_000,
  answerHeadTimeoutMs: 60_000,
  halfClosedMs: 10_000,
  relayIdleMs: 2 * 3_600_000,
  pipelinedBytesMax: 64 * 1024,
  chunkLineBytesMax: 256,
  trailerBytesMax: 8 * 1024,
  interimAnswersMax: 16,
  exchangesPerConnMax: 100_000,
  upstreamIdleMs: 30_000,
  upstreamIdlePerTargetMax: 128,
  upstreamIdleMax: 4_096,
  dialTimeoutMs: 5_000,
  deviceDialTimeoutMs: 10_000,
  retryBodyBytesMax: 64 * 1024,

  // tunnel
  frameBytesMax: 16 * 1024,
  windowStartBytes: 256 * 1024,
  windowBytesMax: 16 * 1024 * 1024,
  streamsPerLinkMax: 1_024,
  streamsUnansweredMax: 256,
  prefaceBytesMax: 4 * 1024,
  prefaceTimeoutMs: 10_000,
  messageBytesMax: 64 * 1024,
  memoryBudgetBytes: 512 * 1024 * 1024,
  keepAliveEveryMs: 15_000,
  keepAliveLostMs: 25_000,
  linksMax: 20_000,
  reconnectFirstMs: 1_000,
  reconnectMaxMs: 30_000,
  instanceChangesPerMinuteMax: 3,
  webSocketFrameBytesMax: 16 * 1024 * 1024,
  messageSendBytesMax: 256 * 1024,
  controlBytesMax: 64 * 1024,
  reconnectSettledMs: 30_000,
  drainRedialMaxMs: 2_000,
  turnRetriesMax: 3,
  refusedStreamMs: 5_000,
  linksPerAgentMax: 8,

  // people
  passwordCharsMin: 10,
  passwordCharsMax: 1_024,
  signInsPerPersonMax: 50,
  signInIdleMs: 30 * 24 * 3_600_000,
  signInAbsoluteMs: 90 * 24 * 3_600_000,
  signInFailuresPerMinuteMax: 10,
  tokensPerPersonMax: 100,
  oneTimeCodeMs: 60_000,
  handOverAskedMs: 3_600_000,
  joinTokenMs: 3_600_000,
  inviteMs: 7 * 24 * 3_600_000,
  loginCodeMs: 10 * 60_000,

  // things
  devicesMax: 100_000,
  portsPerDeviceMax: 64,
  routesMax: 200_000,
  journalLinesMax: 20_000,
  visitsKeptMax: 50_000,
  visitsLiveMax: 20_000,
  visitIdleMs: 5 * 60_000,
  eventStreamsMax: 500,
  apiBodyBytesMax: 1024 * 1024,
  apiStrangerBodyBytesMax: 16 * 1024,
  oldLabelMs: 30 * 24 * 3_600_000,

  // store
  storeQueueMax: 4_096,
  storeBatchMax: 128,
  revisionsKeptMax: 1_000,
} as const;

export type Limits = { readonly [Name in keyof typeof limits]: number };
