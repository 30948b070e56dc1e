// What a device proves itself by: the key in use, and the one that was handed out and waits for its first use.
import type { DeviceKeyView } from '#api/identity-shapes.ts';
import type { DeviceView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { call } from '../api.ts';
import { deviceKeysQuery, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, CopyBlock, Time } from '../ui/bits.tsx';
import { Button, IconButton } from '../ui/button.tsx';
import { useKept } from '../ui/kept.ts';
import { Loaded } from '../ui/list.tsx';
import { Confirm, Dialog } from '../ui/overlay.tsx';
import { say } from '../ui/toast.tsx';

const words = text.fleet.keys;
const digestOf = (key: DeviceKeyView) => key.digest.slice(0, 12);

export function DeviceKeysCard({ device }: { device: DeviceView }) {
  const keys = useQuery(deviceKeysQuery(device.id));
  const [making, setMaking] = useState(false);
  const [secret, setSecret] = useState<string | null>(null);
  const [removing, setRemoving] = useState<DeviceKeyView | null>(null);
  const leaving = useKept(removing);
  const shown = useKept(secret);
  const params = { device: device.id };
  return (
    <Card title={words.title} about={words.about} flush actions={<Button size="sm" icon="key" onClick={() => setMaking(true)}>{words.make}</Button>}>
      <div className="border-t border-line">
        <Loaded query={keys} lines={2}>
          {keys.data?.items.length === 0 ? <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{words.none}</p> : null}
          <ul className="divide-y divide-line">
            {keys.data?.items.map((key) => (
              <li key={key.id} data-key={key.state} className="flex flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2.5 text-sm sm:px-5">
                <div className="min-w-0 flex-1">
                  <p className="flex flex-wrap items-center gap-x-2 gap-y-1"><span className="font-medium">{words.kinds[key.kind]}</span><span className="font-mono text-xs text-ink-3">{digestOf(key)}…</span><Badge mood={key.state === 'current' ? 'ok' : 'accent'}><span title={words.stateTitles[key.state]}>{words.states[key.state]}</span></Badge></p>
                  <p className="text-xs text-ink-3">{words.made} <Time at={key.createdAt} />, {key.usedAt === null ? words.unused : <>{words.used} <Time at={key.usedAt} /></>}</p>
                </div>
                <IconButton icon="trash" size="sm" label={words.removeOf(digestOf(key))} onClick={() => setRemoving(key)} />
              </li>
            ))}
          </ul>
        </Loaded>
      </div>
      <Confirm
        open={making}
        onClose={() => setMaking(false)}
        tone="primary"
        title={words.makeTitle}
        about={words.makeAbout}
        action={words.makeAction}
        run={async () => {
          setSecret((await call('makeDeviceKey', { params, body: {} })).secret);
          await refresh('device-keys');
        }}
      />
      <Dialog open={secret !== null} onClose={() => setSecret(null)} sticky title={words.shownTitle} about={text.fleet.waiting.keyAbout}>
        <div className="flex flex-col gap-4">
          <CopyBlock secret value={shown ?? ''} label={text.fleet.waiting.key} />
          <div className="flex justify-end"><Button tone="primary" onClick={() => setSecret(null)}>{text.common.done}</Button></div>
        </div>
      </Dialog>
      <Confirm
        open={removing !== null}
        onClose={() => setRemoving(null)}
        title={words.removeTitle}
        about={words.removeAbout}
        action={text.common.remove}
        run={async () => {
          if (!leaving) return;
          await call('removeDeviceKey', { params: { ...params, id: leaving.id } });
          say(words.removedSaid);
          await refresh('device-keys');
        }}
      />
    </Card>
  );
}
