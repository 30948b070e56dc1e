// The pool's networks, and who may call devices back there: a part of the configuration that is there once.
import type { ConfigDocument } from '#api/shapes.ts';
import { useState } from 'react';
import { compact, editOfSingle, linesOf } from '../config-document.ts';
import { text } from '../text.ts';
import { TextArea } from '../ui/choices.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ConfigEditor } from './config-editor.tsx';

const words = text.places.pool;
const FIELDS = ['networks', 'callers'];
type Pool = ConfigDocument['addressPool'];

export function EditPool({ open, pool, onClose }: { open: boolean; pool: Pool; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} sticky wide title={pool ? words.changeTitle : words.setUp}>
      <PoolForm before={pool} onClose={onClose} />
    </Dialog>
  );
}

function PoolForm({ before, onClose }: { before: Pool; onClose: () => void }) {
  // What it was when the form was opened: a change of somebody else meanwhile has to be seen as one.
  const [was] = useState(before);
  const [networks, setNetworks] = useState((before?.networks ?? []).join('\n'));
  const [callers, setCallers] = useState((before?.callers ?? []).join('\n'));
  const edit = () => {
    const listed = linesOf(callers);
    return editOfSingle('addressPool', words.title, was, compact({ networks: linesOf(networks), callers: listed.length > 0 ? listed : undefined }));
  };
  return (
    <ConfigEditor edit={edit} fields={FIELDS} name={words.title} onClose={onClose}>
      {({ at }) => (
        <>
          <TextArea label={words.form.networks} hint={words.form.networksHint} error={at('networks')} value={networks} onValue={setNetworks} rows={3} placeholder="100.72.0.0/16" />
          <TextArea label={`${words.form.callers} (${text.common.optional})`} hint={words.form.callersHint} error={at('callers')} value={callers} onValue={setCallers} rows={3} />
        </>
      )}
    </ConfigEditor>
  );
}
