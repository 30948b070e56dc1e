// Why would this request go there? The same decision as on the data plane, told in lines. Offline with a document, or with the
// running snapshot and what the tables know.
import { isLoopback } from '#base/cidr.ts';
import { Fault } from '#base/fault.ts';
import { hostNameOf } from '#wire/http1.ts';
import { parseConfig, type ConfigProblem } from './config.ts';
import { decideExchange } from './decide.ts';
import { compile, isLinkName, type Snapshot } from './snapshot.ts';
import { tlsPolicyOf } from './tls-policy.ts';

export interface ExplainQuery {
  /** `https://name/path`, the port names the listener. */
  readonly url: string;
  /** Where the request would come from; a loopback address when absent. */
  readonly from?: string;
  readonly method?: string;
  /** Common name of the client certificate that it would show. */
  readonly certificate?: string;
}

export interface Explanation {
  /** `forward`, `device`, `console`, `redirect`, `respond`, `refuse` */
  readonly verdict: string;
  /** The rule that wins. */
  readonly rule: string;
  readonly lines: readonly string[];
}

export class ConfigRefused extends Fault {
  readonly problems: readonly ConfigProblem[];
  constructor(problems: readonly ConfigProblem[]) {
    super('bad-input', `the configuration does not compile: ${problems.map((problem) => `${problem.path}: ${problem.message}`).join('; ')}`, { remedy: 'Mend the places named and try again.' });
    this.problems = problems;
  }
}

/** With a configuration document, no gateway needed. Fault `bad-input` (ConfigRefused) names every problem. */
export function explain(document: unknown, query: ExplainQuery): Explanation {
  const parsed = parseConfig(document);
  if ('problems' in parsed) throw new ConfigRefused(parsed.problems);
  const compiled = compile(parsed.config, 0);
  if ('problems' in compiled) throw new ConfigRefused(compiled.problems);
  return explainWith(compiled.snapshot, query);
}

/** With a snapshot. `describeDevice` tells what the tables know of a label. */
export function explainWith(snapshot: Snapshot, query: ExplainQuery, describeDevice?: (label: string) => string[]): Explanation {
  let url: URL;
  try {
    url = new URL(query.url.includes('://') ? query.url : `https://${query.url}`);
  } catch {
    throw new Fault('bad-input', `"${query.url}" is not an address`, { remedy: 'Give it like https://printer1.gw.example.test/path' });
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Fault('bad-input', `"${url.protocol}" is not http or https`);
  const secure = url.protocol === 'https:';
  const port = url.port === '' ? (secure ? 443 : 80) : Number(url.port);
  const from = query.from ?? '127.0.0.1';
  const ofKind = snapshot.config.listeners.filter((listener) => listener.tls === secure);
  const listener = ofKind.find((each) => each.port === port) ?? (url.port === '' ? ofKind[0] : undefined);
  const lines: string[] = [`from ${from} to ${secure ? 'TLS' : 'plain'} port ${port}, host ${url.hostname}, path ${url.pathname}`];
  if (!listener) {
    lines.push(`no ${secure ? 'TLS' : 'plain'} listener has port ${port}; there are ${snapshot.config.listeners.map((each) => `${each.name} (${each.address} ${each.port}${each.tls ? ', TLS' : ''})`).join(', ')}`);
    return { verdict: 'refuse', rule: 'no listener', lines };
  }
  if (listener.address.startsWith('127.') && !isLoopback(from)) {
    lines.push(`listener ${listener.name} listens on ${listener.address} only; ${from} does not get there`);
    return { verdict: 'refuse', rule: `listener ${listener.name}`, lines };
  }
  lines.push(`listener ${listener.name} (${listener.address} ${listener.port}${listener.tls ? ', TLS' : ''}) takes it`);
  const name = hostNameOf(url.hostname) ?? null;
  const verdict = decideExchange(snapshot, { listener: listener.name, secure, link: secure && name !== null && isLinkName(snapshot, name), loopback: isLoopback(from), serverName: secure ? name : null, policy: secure ? tlsPolicyOf(snapshot.tlsPolicies, listener.name, name) : null, certificate: query.certificate === undefined ? null : { subject: query.certificate, verified: true } }, url.host, `${url.pathname}${url.search}`, query.method);
  switch (verdict.step) {
    case 'refuse':
      lines.push(`refused with ${verdict.status}: ${verdict.why}`);
      return { verdict: 'refuse', rule: verdict.rule, lines };
    case 'secure':
      lines.push(`a plain listener answers only routes that name it; redirected with 308 to https://${url.hostname}${url.pathname}`);
      return { verdict: 'redirect', rule: verdict.rule, lines };
    case 'link':
      lines.push('the link endpoint: agents with a certificate, and joins with a one-time token');
      return { verdict: 'link', rule: 'link endpoint', lines };
    case 'device':
      lines.push(`route "${verdict.route.name}" wins: host ${verdict.route.host}; the device is the one with label "${verdict.label}"`);
      lines.push(...(describeDevice?.(verdict.label) ?? ['which device that is, and who may open it, is known to the running gateway only']));
      return { verdict: 'device', rule: verdict.route.name, lines };
    case 'route': {
      const { route } = verdict;
      lines.push(`route "${route.name}" wins: ${route.host === null ? 'any host' : `host ${route.host}`}, path ${route.path}${route.listeners ? `, listeners ${[...route.listeners].join(', ')}` : ''}${route.builtIn ? ' (built in)' : ''}`);
      const { target } = route;
      if (target.kind === 'tcp') lines.push(`forwarded to ${target.host}:${target.port}`);
      else if (target.kind === 'named-device') lines.push(`forwarded to device "${target.device}", port ${target.port}, through its agent`);
      else if (target.kind === 'redirect') lines.push(`redirected with ${target.status} to ${target.to}`);
      else if (target.kind === 'respond') lines.push(`answered with ${target.status} and ${Buffer.byteLength(target.body)} bytes`);
      else if (target.kind === 'service') lines.push(`answered by the gateway's own ${target.name}`);
      const word = target.kind === 'service' ? target.name : target.kind === 'redirect' || target.kind === 'respond' ? target.kind : 'forward';
      return { verdict: word, rule: route.name, lines };
    }
  }
}
