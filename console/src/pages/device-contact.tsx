// A device that pushes: what it says of itself, its feeds, its tags.
import type { DeviceView } from '#api/shapes.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { duration } from '../format.ts';
import { deviceTagsQuery, feedsQuery, itemsOf, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Card, Facts, Time } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { inputClass } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { Loaded, More } from '../ui/list.tsx';
import { sayProblem } from '../ui/toast.tsx';
import { useSeesGateway } from './data.tsx';
import { FeedTable } from './feeds.tsx';

const words = text.fleet.contact;
const CLOCK_FINE_MS = 1_000;

function Clock({ skewMs }: { skewMs: number | null }) {
  if (skewMs === null) return words.clockUnknown;
  if (Math.abs(skewMs) < CLOCK_FINE_MS) return words.clockFine;
  return <span className={Math.abs(skewMs) > 60_000 ? 'text-warn-ink' : ''}>{words.clockOff(duration(Math.abs(skewMs)), skewMs > 0)}</span>;
}

export function ContactCard({ device }: { device: DeviceView }) {
  const seesGateway = useSeesGateway();
  const { contact } = device;
  if (contact === null) return null;
  const facts = words.facts;
  // Feeds have a place of their own, and its clock is told above.
  const others = Object.entries(contact.facts).filter(([name]) => name !== 't' && !name.startsWith('feed.'));
  return (
    <Card title={words.title} about={words.about} actions={device.serial && seesGateway ? <Link to="/data/redirects" search={{ serial: device.serial }} className="rounded-sm text-sm text-accent-ink hover:underline">{words.goesTo}</Link> : null}>
      <Facts
        rows={[
          [facts.lastPush, <Time key="push" at={contact.lastPushAt} never={text.common.never} />],
          [facts.lastCheckIn, <Time key="check-in" at={contact.lastCheckInAt} never={text.common.never} />],
          contact.from ? [facts.from, <span key="from" className="font-mono">{contact.from}</span>] : null,
          contact.firmware ? [facts.firmware, contact.firmware] : null,
          contact.hardware ? [facts.hardware, contact.hardware] : null,
          contact.upSeconds === null ? null : [facts.up, duration(contact.upSeconds * 1_000)],
          contact.lastCheckInAt === null ? null : [facts.clock, <Clock key="clock" skewMs={contact.clockSkewMs} />],
          contact.zone ? [facts.zone, contact.zone] : null,
          contact.lastCheckInAt === null ? null : [facts.pins, contact.pins ? words.pinning(contact.fingerprints.length) : words.notPinning],
        ]}
      />
      {others.length > 0 ? (
        <details className="mt-3 border-t border-line pt-3">
          <summary className="text-sm text-ink-2 hover:text-ink">{words.others}</summary>
          <dl className="mt-2 grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-1 font-mono text-xs">
            {others.map(([name, value]) => (
              <div key={name} className="contents"><dt className="text-ink-3">{name}</dt><dd className="break-all">{value}</dd></div>
            ))}
          </dl>
        </details>
      ) : null}
    </Card>
  );
}

export function DeviceFeedsCard({ device }: { device: DeviceView }) {
  const feeds = useInfiniteQuery(feedsQuery({ deviceId: device.id }));
  const items = itemsOf(feeds.data) ?? [];
  // Most devices behind an agent are opened and bring nothing: no empty card for them.
  if (device.agentId !== null && items.length === 0) return null;
  return (
    <Card title={text.data.feeds.ofDevice} about={text.data.feeds.ofDeviceAbout} flush>
      <div className="border-t border-line">
        <Loaded query={feeds} lines={2}>
          {items.length > 0 ? <FeedTable feeds={items} ofDevice /> : <p className="px-4 py-4 text-sm text-ink-2 sm:px-5">{text.data.feeds.ofDeviceNone}</p>}
          <More query={feeds} />
        </Loaded>
      </div>
    </Card>
  );
}

const tagWords = text.fleet.tags;

export function TagsCard({ device }: { device: DeviceView }) {
  const tags = useQuery(deviceTagsQuery(device.id));
  const [typed, setTyped] = useState('');
  const [busy, setBusy] = useState(false);
  const present = tags.data?.tags ?? [];
  const put = async (next: readonly string[]) => {
    setBusy(true);
    try {
      await call('setDeviceTags', { params: { device: device.id }, body: { tags: [...next] } });
      setTyped('');
      await refresh('device-tags');
    } catch (thrown) {
      sayProblem(thrown);
    }
    setBusy(false);
  };
  const canChange = device.may.includes('administer');
  return (
    <Card title={tagWords.title} about={tagWords.about}>
      <div className="flex flex-col gap-3">
        {present.length === 0 ? <p className="text-sm text-ink-2">{tagWords.none}</p> : (
          <ul className="flex flex-wrap gap-1.5">
            {present.map((tag) => (
              <li key={tag} className="inline-flex h-7 max-w-full items-center gap-1 rounded-full bg-accent-soft pr-1 pl-3 text-sm text-accent-ink">
                <span className="truncate">{tag}</span>
                {canChange ? <button type="button" disabled={busy} aria-label={tagWords.remove(tag)} onClick={() => void put(present.filter((each) => each !== tag))} className="flex size-5 items-center justify-center rounded-full hover:bg-surface"><Icon name="close" size={11} /></button> : <span className="w-2" />}
              </li>
            ))}
          </ul>
        )}
        {canChange ? (
          <form
            className="flex gap-2"
            onSubmit={(event) => {
              event.preventDefault();
              if (typed.trim()) void put([...new Set([...present, typed.trim()])]);
            }}
          >
            <input value={typed} onChange={(event) => setTyped(event.target.value)} aria-label={tagWords.add} placeholder={tagWords.add} maxLength={64} className={inputClass} />
            <Button type="submit" busy={busy} disabled={typed.trim() === ''}>{tagWords.addAction}</Button>
          </form>
        ) : null}
      </div>
    </Card>
  );
}
