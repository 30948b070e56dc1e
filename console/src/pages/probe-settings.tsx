// How often devices are asked, and how fast: the part `probes` of the configuration, as a form.
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { compact, editOfSingle, type FieldProblem } from '../config-document.ts';
import type { ConfigDocument } from '#api/shapes.ts';
import { configQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Card, Facts } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { TextField } from '../ui/field.tsx';
import { Loaded } from '../ui/list.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ConfigEditor } from './config-editor.tsx';

const words = text.profile.probes;
type Settings = NonNullable<ConfigDocument['probes']>;
const FIELDS = ['everyMinutes', 'freshMinutes', 'perSecond', 'atOnce'] as const;
/** What the gateway takes where the document says nothing (model/config). */
const DEFAULTS: Settings = { everyMinutes: 15, freshMinutes: 60, perSecond: 20, atOnce: 8 };

export function SettingsCard() {
  const config = useQuery(configQuery);
  const [editing, setEditing] = useState(false);
  const written = config.data?.config.probes;
  const now = { ...DEFAULTS, ...written };
  return (
    <Card title={words.settings} about={words.settingsAbout} actions={config.data ? <Button size="sm" icon="edit" onClick={() => setEditing(true)}>{words.edit}</Button> : null}>
      <Loaded query={config} lines={3}>
        <Facts
          rows={[
            [words.every, now.everyMinutes === 0 ? words.everyNever : words.minutes(now.everyMinutes)],
            [words.fresh, words.minutes(now.freshMinutes)],
            [words.perSecond, words.perSecondOf(now.perSecond)],
            [words.atOnce, words.perSecondOf(now.atOnce)],
          ]}
        />
      </Loaded>
      <Dialog open={editing} onClose={() => setEditing(false)} sticky wide title={words.settingsName} about={words.about}>
        {editing ? <SettingsForm written={written} onClose={() => setEditing(false)} /> : null}
      </Dialog>
    </Card>
  );
}

const given = (typed: string) => (typed.trim() === '' ? undefined : /^\d{1,6}(?:\.\d{1,3})?$/.test(typed.trim()) ? Number(typed) : Number.NaN);

function SettingsForm({ written, onClose }: { written: ConfigDocument['probes']; onClose: () => void }) {
  const [draft, setDraft] = useState(() => Object.fromEntries(FIELDS.map((field) => [field, String({ ...DEFAULTS, ...written }[field])])) as Record<(typeof FIELDS)[number], string>);
  const set = (part: Partial<typeof draft>) => setDraft({ ...draft, ...part });
  // What is as by default and was not written stays unwritten.
  const after = () => compact(Object.fromEntries(FIELDS.map((field) => [field, written?.[field] === undefined && given(draft[field]) === DEFAULTS[field] ? undefined : given(draft[field])]))) as Settings;
  const wrong = (): FieldProblem[] => FIELDS.filter((field) => Number.isNaN(given(draft[field]))).map((path) => ({ path, message: words.notNumber }));
  const field = (name: (typeof FIELDS)[number], label: string, hint: string | undefined, error: string | undefined) => <TextField label={label} hint={hint} error={error} value={draft[name]} onValue={(value) => set({ [name]: value })} inputMode="decimal" autoComplete="off" className="num" />;
  return (
    <ConfigEditor edit={() => editOfSingle('probes', words.settingsName, written, after())} wrong={wrong} fields={FIELDS} name={words.settingsName} onClose={onClose}>
      {({ at }) => (
        <div className="grid gap-4 sm:grid-cols-2">
          {field('everyMinutes', words.everyField, words.everyHint, at('everyMinutes'))}
          {field('freshMinutes', words.freshField, words.freshHint, at('freshMinutes'))}
          {field('perSecond', words.perSecondField, words.perSecondHint, at('perSecond'))}
          {field('atOnce', words.atOnceField, undefined, at('atOnce'))}
        </div>
      )}
    </ConfigEditor>
  );
}
