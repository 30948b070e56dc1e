// "Prove it": one marked request to an application's server, as for a device; what went out and what the server saw stand side by side.
import type { ProofView } from '#api/telling-shapes.ts';
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router';
import { useState, type ReactNode } from 'react';
import { call } from '../api.ts';
import { text } from '../text.ts';
import { Badge, Callout, Card, Facts, type Mood } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import type { IconName } from '../ui/icons.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { DeviceField } from './device-field.tsx';
import { sentence } from './sentence.ts';

const page = getRouteApi('/inside/applications/servers/$route');
const words = text.places.servers;
const looks: Record<ProofView['verdict'], { readonly mood: Mood; readonly icon: IconName }> = {
  equal: { mood: 'ok', icon: 'ok' },
  taken: { mood: 'ok', icon: 'ok' },
  untold: { mood: 'warn', icon: 'warning' },
  different: { mood: 'bad', icon: 'bad' },
  refused: { mood: 'bad', icon: 'bad' },
};

export function ProveCard({ route, isHttp }: { route: string; isHttp: boolean }) {
  const { device = '' } = page.useSearch();
  const navigate = useNavigate({ from: '/applications/servers/$route' });
  const [path, setPath] = useState('');
  const [busy, setBusy] = useState(false);
  const [proof, setProof] = useState<ProofView | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const isPath = path.trim() === '' || path.trim().startsWith('/');
  const run = async () => {
    if (!device.trim() || !isPath) return;
    setBusy(true);
    setProblem(null);
    setProof(null);
    try {
      setProof(await call('proveRoute', { params: { route }, body: { deviceId: device.trim(), ...(path.trim() ? { path: path.trim() } : {}) } }));
    } catch (thrown) {
      setProblem(thrown);
    }
    setBusy(false);
  };
  return (
    <Card title={words.prove} about={words.proveAbout}>
      <Form onSubmit={() => void run()} label={words.prove}>
        <div className="grid items-start gap-4 md:grid-cols-2">
          <DeviceField label={words.device} hint={words.deviceHint} value={device} onValue={(next) => void navigate({ search: (before) => { const { device: _, ...rest } = before; return next ? { ...rest, device: next } : rest; }, replace: true })} />
          {isHttp ? <TextField label={`${words.path} (${text.common.optional})`} hint={words.pathHint} error={isPath ? undefined : words.pathWrong} value={path} onValue={setPath} maxLength={1_024} className="font-mono" autoComplete="off" autoCapitalize="none" spellCheck={false} placeholder="/.postern-prove" /> : null}
        </div>
        <div>
          <Button type="submit" tone="primary" busy={busy} disabled={!device.trim()}>{busy ? words.running : proof ? words.again : words.run}</Button>
        </div>
        <ProblemNote problem={problem} />
        {proof ? <Proof proof={proof} /> : null}
      </Form>
    </Card>
  );
}

function Proof({ proof }: { proof: ProofView }) {
  const look = looks[proof.verdict];
  return (
    <div role="status" className="flex flex-col gap-4" data-verdict={proof.verdict}>
      <Callout mood={look.mood} icon={look.icon} title={words.verdicts[proof.verdict]} action={proof.cause ? <span title={words.cause}><Badge mood={look.mood}>{proof.cause}</Badge></span> : undefined}>
        <p className="break-words">{sentence(proof.text)}</p>
        {proof.remedy ? <p className="mt-1 break-words text-ink"><span className="font-medium">{words.do}: </span>{sentence(proof.remedy)}</p> : null}
      </Callout>
      {proof.remarks.length > 0 ? (
        <Callout mood="warn" icon="info" title={words.remarks} action={<Link to="/applications/sources" className="text-sm font-medium whitespace-nowrap text-accent-ink hover:underline">{words.toSources}</Link>}>
          {proof.remarks.map((each) => <p key={each} className="break-words">{sentence(each)}</p>)}
        </Callout>
      ) : null}
      <div className="grid items-start gap-4 md:grid-cols-2">
        <Sent proof={proof} />
        <Saw proof={proof} />
      </div>
      <p className="text-xs break-words text-ink-3">{words.nonce} <code className="font-mono select-all">{proof.nonce}</code></p>
    </div>
  );
}

function Side({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title} className="flex min-w-0 flex-col gap-3 rounded-xl border border-line p-3.5">
      <h3 className="text-sm font-semibold">{title}</h3>
      {children}
    </section>
  );
}

const mono = (value: string | null) => (value === null ? <span className="text-ink-3">–</span> : <span className="font-mono [overflow-wrap:anywhere]">{value}</span>);

function Lines({ label, lines, marked }: { label: string; lines: readonly string[]; marked?: string }) {
  if (lines.length === 0) return null;
  return (
    <div className="min-w-0">
      <p className="mb-1 text-xs text-ink-3">{label}</p>
      <ol className="flex flex-col gap-0.5 rounded-lg bg-sunken px-2.5 py-2 font-mono text-xs text-ink-2">
        {/* Fields may be there twice: their place is their key. */}
        {lines.map((line, at) => <li key={at} className={`[overflow-wrap:anywhere] ${marked && line.includes(marked) ? 'font-medium text-ink' : ''}`}>{line}</li>)}
      </ol>
    </div>
  );
}

function Sent({ proof: { sent, told } }: { proof: ProofView }) {
  const { proxyHeader, claims } = sent;
  return (
    <Side title={words.sent}>
      <Facts rows={[[words.told, mono(told)], [words.from, mono(sent.local)], [words.to, mono(sent.remote)], proxyHeader ? [words.proxyHeader(proxyHeader.version), mono(`${proxyHeader.source} → ${proxyHeader.destination}`)] : null]} />
      <Lines label={words.head} lines={sent.head} marked={told} />
      {claims ? <Lines label={words.claims} lines={Object.entries(claims).map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)} /> : null}
    </Side>
  );
}

function Saw({ proof: { seen, told, answer, verdict } }: { proof: ProofView }) {
  const tint = seen === null ? 'text-ink-3' : seen === told ? 'text-ok-ink' : 'text-bad-ink';
  return (
    <Side title={words.saw}>
      <Facts rows={[[words.seen, seen === null ? <span className="text-ink-3">{words.sawNothing}</span> : <span className={`font-mono font-medium [overflow-wrap:anywhere] ${tint}`}>{seen}</span>], answer ? [words.status, <span key="status">{answer.status}</span>] : null]} />
      {answer ? (
        <>
          <Lines label={words.answer} lines={answer.fields.map(([name, value]) => `${name}: ${value}`)} {...(seen === null ? {} : { marked: seen })} />
          {answer.body ? <pre tabIndex={0} aria-label={words.answer} className="max-h-40 overflow-auto rounded-lg bg-sunken px-2.5 py-2 font-mono text-xs whitespace-pre-wrap text-ink-2 [overflow-wrap:anywhere]">{answer.body}</pre> : null}
        </>
      ) : <p className="text-sm text-ink-2">{verdict === 'taken' ? words.noHttp : words.noAnswer}</p>}
    </Side>
  );
}
