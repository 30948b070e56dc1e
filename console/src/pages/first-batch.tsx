// What to type to see something here: a request that any machine with curl can make.
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { customersQuery } from '../queries.ts';
import { text } from '../text.ts';
import { CopyBlock } from '../ui/bits.tsx';

/** The device protocol's base for the first customer that one sees. */
export function useDeviceBase(): string {
  const customers = useQuery(customersQuery);
  return `${location.origin}/v1/${customers.data?.items[0]?.key ?? 'default'}`;
}

// A private CA is not in curl's list; whoever tries it out knows which gateway this is.
const curl = () => (location.protocol === 'https:' ? 'curl -k' : 'curl');

export function FirstBatch() {
  const base = useDeviceBase();
  // A new epoch each time, so that a second try is no conflict with the first.
  const [epoch] = useState(() => Array.from(crypto.getRandomValues(new Uint8Array(8)), (each) => each.toString(16).padStart(2, '0')).join(''));
  const line = `printf 'hello\\n' | ${curl()} --data-binary @- -H 'Content-Type: application/octet-stream' '${base}/push/SN1/test/${epoch}?o=0'`;
  return <div className="mt-3 text-left"><CopyBlock value={line} label={text.data.feeds.emptyCommand} /></div>;
}

export function FirstFile() {
  const base = useDeviceBase();
  return <div className="mt-3 text-left"><CopyBlock value={`${curl()} -T report.txt '${base}/file/SN1/report.txt'`} label={text.data.files.emptyCommand} /></div>;
}
