// "Why was this refused?": asks the gateway what it would do with a request, and shows the rule.
import type { ExplainView } from '#api/shapes.ts';
import { useState } from 'react';
import { call } from '../api.ts';
import { text } from '../text.ts';
import { Callout, Card, Facts } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { ProblemNote } from '../ui/problem.tsx';

const words = text.frontDoor.explain;
const verdicts: Readonly<Record<string, string>> = text.status.verdicts;
const verdictText = (verdict: string) => verdicts[verdict] ?? verdict;

export function ExplainCard() {
  const [url, setUrl] = useState('');
  const [from, setFrom] = useState('');
  const [user, setUser] = useState('');
  const [certificate, setCertificate] = useState('');
  const [tls, setTls] = useState('1.3');
  const [serverName, setServerName] = useState('');
  const [busy, setBusy] = useState(false);
  const [answer, setAnswer] = useState<ExplainView | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const ask = async () => {
    if (!url.trim()) return;
    setBusy(true);
    setProblem(null);
    setAnswer(null);
    try {
      const given = Object.fromEntries(Object.entries({ from, user, certificate, serverName }).flatMap(([key, value]) => (value.trim() ? [[key, value.trim()]] : [])));
      setAnswer(await call('explain', { body: { url: url.trim(), ...given, ...(tls === '1.3' ? {} : { tls: tls as '1.0' | '1.1' | '1.2' }) } }));
    } catch (thrown) {
      setProblem(thrown);
    }
    setBusy(false);
  };
  return (
    <Card title={text.status.explain} about={text.status.explainAbout}>
      <Form onSubmit={() => void ask()}>
        <TextField label={text.status.explainUrl} hint={words.hint} value={url} onValue={setUrl} placeholder={`${location.origin}/`} inputMode="url" autoCapitalize="none" spellCheck={false} />
        <TextField label={`${text.status.explainFrom} (${text.common.optional})`} value={from} onValue={setFrom} placeholder="203.0.113.9" autoCapitalize="none" spellCheck={false} />
        <details>
          <summary className="rounded-sm text-sm font-medium text-ink-2 hover:text-ink">{words.more}</summary>
          <div className="mt-3 grid gap-4 sm:grid-cols-2">
            <TextField label={words.user} hint={words.userHint} value={user} onValue={setUser} maxLength={200} autoCapitalize="none" spellCheck={false} autoComplete="off" />
            <TextField label={words.certificate} hint={words.certificateHint} value={certificate} onValue={setCertificate} maxLength={200} spellCheck={false} autoComplete="off" />
            <SelectField label={words.tls} value={tls} onValue={setTls} options={words.tlsVersions} />
            <TextField label={words.serverName} hint={words.serverNameHint} value={serverName} onValue={setServerName} maxLength={253} autoCapitalize="none" spellCheck={false} autoComplete="off" />
          </div>
        </details>
        <div>
          <Button type="submit" busy={busy} disabled={!url.trim()}>
            {text.status.explainRun}
          </Button>
        </div>
        <ProblemNote problem={problem} />
        {answer ? (
          <div role="status" className="flex flex-col gap-3">
            <Callout mood={answer.verdict === 'refuse' ? 'bad' : 'ok'} icon={answer.verdict === 'refuse' ? 'bad' : 'ok'} title={verdictText(answer.verdict)}>
              {text.status.rule}: <code className="font-mono text-ink">{answer.rule}</code>
            </Callout>
            <Told answer={answer} />
            <ol className="flex flex-col gap-1 rounded-xl bg-sunken px-3.5 py-2.5 font-mono text-xs text-ink-2">
              {answer.lines.map((line) => <li key={line} className="break-words">{line}</li>)}
            </ol>
          </div>
        ) : null}
      </Form>
    </Card>
  );
}

/** What was come to on the way. */
function Told({ answer: { listener, proxyHeader, tls, route, cls, target } }: { answer: ExplainView }) {
  const { facts } = words;
  const tlsText = tls && (tls.passedThrough ? words.passedThrough : tls.policy === null ? (tls.level ?? '') : tls.level === null ? words.tlsRefused(tls.policy) : words.tlsOf(tls.policy, tls.level));
  const rows = [[facts.listener, listener], [facts.proxyHeader, proxyHeader ? words.proxyHeader : null], [facts.tls, tlsText], [facts.route, route], [facts.cls, cls], [facts.target, target]] as const;
  const shown = rows.filter(([, value]) => value);
  return shown.length === 0 ? null : <Facts rows={shown} />;
}
