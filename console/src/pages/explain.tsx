// "Why was this refused?": asks the gateway what it would do with a request, and shows the rule.
import type { ExplainView } from '#api/shapes.ts';
import { useState } from 'react';
import { call } from '../api.ts';
import { text } from '../text.ts';
import { Callout, Card } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { ProblemNote } from '../ui/problem.tsx';

const verdicts: Readonly<Record<string, string>> = text.status.verdicts;
const verdictText = (verdict: string) => verdicts[verdict] ?? verdict;

export function ExplainCard() {
  const [url, setUrl] = useState('');
  const [from, setFrom] = useState('');
  const [busy, setBusy] = useState(false);
  const [answer, setAnswer] = useState<ExplainView | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const ask = async () => {
    if (!url.trim()) return;
    setBusy(true);
    setProblem(null);
    setAnswer(null);
    try {
      setAnswer(await call('explain', { body: { url: url.trim(), ...(from.trim() ? { from: from.trim() } : {}) } }));
    } catch (thrown) {
      setProblem(thrown);
    }
    setBusy(false);
  };
  return (
    <Card title={text.status.explain} about={text.status.explainAbout}>
      <Form onSubmit={() => void ask()}>
        <TextField label={text.status.explainUrl} value={url} onValue={setUrl} placeholder={`${location.origin}/`} inputMode="url" autoCapitalize="none" spellCheck={false} />
        <TextField label={`${text.status.explainFrom} (${text.common.optional})`} value={from} onValue={setFrom} placeholder="203.0.113.9" autoCapitalize="none" spellCheck={false} />
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
            <ol className="flex flex-col gap-1 rounded-xl bg-sunken px-3.5 py-2.5 font-mono text-xs text-ink-2">
              {answer.lines.map((line) => <li key={line} className="break-words">{line}</li>)}
            </ol>
          </div>
        ) : null}
      </Form>
    </Card>
  );
}
