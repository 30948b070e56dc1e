// Call records of telephone systems, as their makers' papers describe them: which columns there are, of which type, and which of them
// names a call. Lines that are headings are left out.
import type { ConfigParser } from '../config.ts';
import type { PresetName } from './preset-names.ts';

type Plain = Exclude<ConfigParser, { readonly kind: 'preset' }>;
type Column = Extract<Plain, { readonly kind: 'csv' }>['columns'][number];
export type Preset = Plain | { readonly kind: 'xml'; readonly element: string; readonly columns: readonly Column[]; readonly key: string[] };

const csv = (columns: readonly Column[], more: { readonly key?: string[]; readonly skip?: string } = {}): Preset => ({ kind: 'csv', delimiter: ',', quote: '"', columns: [...columns], ...more });
const integers = (...names: readonly string[]): Column[] => names.map((name) => ({ name, type: 'integer' }));
const unix = (name: string): Column => ({ name, type: 'time', format: 'unix' });

const cucmParty = (side: 'orig' | 'dest'): Column[] => [
  `${side}MediaTransportAddress_IP`, ...integers(`${side}MediaTransportAddress_Port`, `${side}MediaCap_payloadCapability`, `${side}MediaCap_maxFramesPerPacket`, `${side}MediaCap_g723BitRate`, `${side}VideoCap_Codec`, `${side}VideoCap_Bandwidth`, `${side}VideoCap_Resolution`),
  `${side}VideoTransportAddress_IP`, ...integers(`${side}VideoTransportAddress_Port`), `${side}RSVPAudioStat`, `${side}RSVPVideoStat`,
];

/** `zone`: where the system's clock is; undefined: UTC. */
export function presetOf(name: PresetName, zone: string | undefined): Preset {
  const time = (column: string, format: string): Column => ({ name: column, type: 'time', format, ...(zone === undefined ? {} : { zone }) });
  const clock = (column: string): Column => ({ name: column, type: 'duration', format: 'h:m:s' });
  const seconds = (column: string): Column => ({ name: column, type: 'duration' });
  switch (name) {
    case '3cx':
      return csv(
        ['historyid', 'callid', clock('duration'), ...['time_start', 'time_answered', 'time_end'].map((each) => time(each, '%Y/%m/%d %H:%M:%S')), 'reason_terminated', 'from_no', 'to_no', 'from_dn', 'to_dn', 'dial_no', 'reason_changed', 'final_number', 'final_dn', 'bill_code', { name: 'bill_rate', type: 'decimal' }, { name: 'bill_cost', type: 'decimal' }, 'bill_name', 'chain'],
        { key: ['historyid', 'callid'] },
      );
    case 'asterisk':
      return csv(
        ['accountcode', 'src', 'dst', 'dcontext', 'clid', 'channel', 'dstchannel', 'lastapp', 'lastdata', ...['start', 'answer', 'end'].map((each) => time(each, 'iso')), seconds('duration'), seconds('billsec'), 'disposition', 'amaflags', 'uniqueid', 'userfield'],
      );
    case 'avaya-ipoffice':
      return csv(
        [
          time('call_start', '%Y/%m/%d %H:%M:%S'), clock('connected_time'), seconds('ring_time'), 'caller', 'direction', 'called_number', 'dialled_number', 'account', ...integers('is_internal', 'call_id', 'continuation'),
          'party1_device', 'party1_name', 'party2_device', 'party2_name', seconds('hold_time'), seconds('park_time'), 'auth_valid', 'auth_code', 'user_charged', { name: 'call_charge', type: 'decimal' }, 'currency',
          ...['amount_at_last_user_change', 'call_units', 'units_at_last_user_change', 'cost_per_unit', 'mark_up'].map((each): Column => ({ name: each, type: 'decimal' })), 'external_targeting_cause', 'external_targeter_id', 'external_targeted_number',
        ],
      );
    case 'cisco-cmr':
      return csv(
        [...integers('cdrRecordType', 'globalCallID_callManagerId', 'globalCallID_callId', 'nodeId'), 'directoryNum', ...integers('callIdentifier'), unix('dateTimeStamp'), ...integers('numberPacketsSent', 'numberOctetsSent', 'numberPacketsReceived', 'numberOctetsReceived', 'numberPacketsLost', 'jitter', 'latency'), 'pkid'],
        { key: ['pkid'], skip: '^("?cdrRecordType"?|INTEGER),' },
      );
    case 'cisco-cucm':
      return csv(
        [
          ...integers('cdrRecordType', 'globalCallID_callManagerId', 'globalCallID_callId', 'origLegCallIdentifier'), unix('dateTimeOrigination'), ...integers('origNodeId', 'origSpan'), 'origIpAddr', 'callingPartyNumber', 'callingPartyUnicodeLoginUserID',
          ...integers('origCause_location', 'origCause_value', 'origPrecedenceLevel'), ...cucmParty('orig'), ...integers('destLegIdentifier', 'destNodeId', 'destSpan'), 'destIpAddr', 'originalCalledPartyNumber', 'finalCalledPartyNumber', 'finalCalledPartyUnicodeLoginUserID',
          ...integers('destCause_location', 'destCause_value', 'destPrecedenceLevel'), ...cucmParty('dest'), unix('dateTimeConnect'), unix('dateTimeDisconnect'), 'lastRedirectDn', 'pkid', 'originalCalledPartyNumberPartition', 'callingPartyNumberPartition', 'finalCalledPartyNumberPartition', 'lastRedirectDnPartition',
          seconds('duration'), 'origDeviceName', 'destDeviceName',
        ],
        { key: ['pkid'], skip: '^("?cdrRecordType"?|INTEGER),' },
      );
    case 'cisco-voip-syslog':
      return {
        kind: 'regex',
        pattern: 'CallLegType (?P<leg_type>\\d+), ConnectionId (?P<connection_id>[0-9A-F ]+), SetupTime [*.]?(?P<setup_time>[^,]+), PeerAddress (?P<peer_address>[^,]*), PeerSubAddress (?P<peer_sub_address>[^,]*), DisconnectCause (?P<disconnect_cause>[^,]*), DisconnectText (?P<disconnect_text>[^,]*), ConnectTime [*.]?(?P<connect_time>[^,]+), DisconnectTime [*.]?(?P<disconnect_time>[^,]+), CallOrigin (?P<call_origin>\\d+)',
        columns: [...integers('leg_type'), 'connection_id', 'setup_time', 'peer_address', 'peer_sub_address', 'disconnect_cause', 'disconnect_text', 'connect_time', 'disconnect_time', ...integers('call_origin')],
      };
    case 'freeswitch':
      return csv(['caller_id_name', 'caller_id_number', 'destination_number', 'context', ...['start_stamp', 'answer_stamp', 'end_stamp'].map((each) => time(each, 'iso')), seconds('duration'), seconds('billsec'), 'hangup_cause', 'uuid', 'bleg_uuid', 'accountcode', 'read_codec', 'write_codec'], { key: ['uuid'] });
    case 'innovaphone':
      // `seq` begins again with the system; the id does not.
      return { kind: 'xml', element: 'cdr', columns: ['id', 'guid', ...integers('seq'), 'sys', 'pbx', 'node', 'device', 'cn', 'e164', 'h323', 'dn', 'dir', unix('utc'), 'local', 'status'], key: ['id', 'guid', 'seq'] };
    case 'panasonic':
      return {
        kind: 'regex',
        pattern: "^\\s*(?P<start>\\d\\d/\\d\\d/\\d\\d +\\d?\\d:\\d\\d[AP]M) +(?P<extension>\\S+) +(?P<line>\\S+) +(?P<dialled>\\S.*?) +(?:(?P<ring>\\d'\\d\\d|\\d:\\d\\d) +)?(?P<duration>\\d\\d:\\d\\d'\\d\\d\"?)(?: +(?P<account>.*?))?\\s*$",
        columns: [time('start', '%m/%d/%y %I:%M%p'), 'extension', 'line', 'dialled', 'ring', { name: 'duration', type: 'duration', format: "h:m's" }, 'account'],
        skip: '^\\s*(-+|Date +Time.*)?\\s*$',
      };
    case 'smdr':
      return {
        kind: 'regex',
        pattern: '^\\s*(?P<date>\\d{1,4}[/.-]\\d{1,2}(?:[/.-]\\d{1,4})?)\\s+(?P<time>\\d{1,2}:\\d\\d(?::\\d\\d)?(?:\\s?[AaPp][Mm])?)\\s+(?P<duration>\\d{1,4}:\\d\\d(?::\\d\\d)?)\\s+(?P<extension>\\S+)\\s+(?P<rest>.*?)\\s*$',
        columns: ['date', 'time', clock('duration'), 'extension', 'rest'],
      };
  }
}
