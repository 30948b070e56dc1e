// Scenarios for SIPp: phones that call and a PBX that answers, staying on the path that Record-Route laid.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const scenario = (name: string, ...steps: readonly string[]) => `<?xml version="1.0" encoding="ISO-8859-1" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n<scenario name="${name}">\n${steps.join('\n')}\n</scenario>\n`;
const send = (text: string, more = '') => `<send${more}><![CDATA[\n\n${text.trim()}\n\n]]></send>`;
const recv = (what: string) => `<recv ${what} timeout="10000" />`;

const sdp = `Content-Type: application/sdp
Content-Length: [len]

v=0
o=user 1 1 IN IP4 192.0.2.7
s=-
c=IN IP4 192.0.2.7
t=0 0
m=audio 4000 RTP/AVP 0`;

/** Of a client, for its domain: Request-URI, From and To are in it. */
const request = (method: string, cseq: number, domain: string, more: string) => `
${method} sip:100@${domain} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
From: <sip:ann@${domain}>;tag=[pid]a[call_number]
To: <sip:100@${domain}>
Call-ID: [call_id]
CSeq: ${cseq} ${method}
Contact: <sip:ann@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: 70
${more}`;

/** Within the dialog: to the other end's contact, along the routes. */
const within = (method: string, cseq: number, domain: string) => `
${method} [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[routes]
From: <sip:ann@${domain}>;tag=[pid]a[call_number]
To: <sip:100@${domain}>[peer_tag_param]
Call-ID: [call_id]
CSeq: ${cseq} ${method}
Max-Forwards: 70
Content-Length: 0`;

const answer = (status: string, more: string) => `
SIP/2.0 ${status}
[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:];tag=[pid]b[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:100@[local_ip]:[local_port];transport=[transport]>
${more}`;

const plainOk = `
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0`;

export interface SippScenarios {
  readonly caller: string;
  readonly callee: string;
  readonly callerWaiting: string;
  readonly calleeEnding: string;
  readonly registering: string;
  readonly registrar: string;
  readonly refused: string;
}

/** Written into the folder; their paths. `other`: a domain that is not to be had. */
export function writeScenarios(folder: string, domain: string, other: string): SippScenarios {
  const write = (name: string, text: string) => {
    const path = join(folder, `${name}.xml`);
    writeFileSync(path, text);
    return path;
  };
  const calling = [send(request('INVITE', 1, domain, sdp)), '<recv response="100" optional="true" />', recv('response="180" optional="true"'), recv('response="200" rrs="true"'), send(within('ACK', 1, domain))];
  const called = [recv('request="INVITE" rrs="true"'), send(answer('180 Ringing', 'Content-Length: 0')), send(answer('200 OK', sdp)), recv('request="ACK"')];
  return {
    caller: write('caller', scenario('calls and hangs up', ...calling, send(within('BYE', 2, domain)), recv('response="200"'))),
    callee: write('callee', scenario('answers', ...called, recv('request="BYE"'), send(plainOk))),
    callerWaiting: write('caller-waiting', scenario('calls and is hung up on', ...calling, recv('request="BYE"'), send(plainOk))),
    calleeEnding: write(
      'callee-ending',
      scenario('answers and hangs up', ...called, send(`
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[routes]
From: <sip:100@${domain}>;tag=[pid]b[call_number]
To: <sip:ann@${domain}>[peer_tag_param]
Call-ID: [call_id]
CSeq: 7 BYE
Max-Forwards: 70
Content-Length: 0`), recv('response="200"')),
    ),
    registering: write('registering', scenario('registers', send(request('REGISTER', 1, domain, 'Expires: 300\nSupported: path\nContent-Length: 0').replace(`sip:100@${domain} SIP/2.0`, `sip:${domain} SIP/2.0`)), recv('response="200"'))),
    registrar: write('registrar', scenario('takes registrations', recv('request="REGISTER"'), send(answer('200 OK', 'Expires: 300\nContent-Length: 0')))),
    refused: write('refused', scenario('is refused', send(request('INVITE', 1, other, sdp)), recv('response="403"'), send(within('ACK', 1, other).replace('[next_url]', `sip:100@${other}`).replace('[routes]\n', '')))),
  };
}
