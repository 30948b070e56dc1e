// Files that devices put here, with their versions.
import type { FileView } from '#api/file-shapes.ts';
import { useInfiniteQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { addressOfRoute, call } from '../api.ts';
import { bytes } from '../format.ts';
import { filesQuery, itemsOf, refresh } from '../queries.ts';
import { text } from '../text.ts';
import { Badge, Card, CopyValue, Empty, PageHead, Time } from '../ui/bits.tsx';
import { Select } from '../ui/field.tsx';
import { Icon } from '../ui/icons.tsx';
import { useKept } from '../ui/kept.ts';
import { cellClass, headClass, Loaded, More } from '../ui/list.tsx';
import { ActionMenu, Confirm } from '../ui/overlay.tsx';
import { say } from '../ui/toast.tsx';
import { FirstFile } from './first-batch.tsx';

const words = text.data.files;

export function FilesPage() {
  const [versions, setVersions] = useState<'newest' | 'all'>('newest');
  const files = useInfiniteQuery(filesQuery({ versions }));
  const items = itemsOf(files.data) ?? [];
  const [removing, setRemoving] = useState<FileView | null>(null);
  const leaving = useKept(removing);
  return (
    <>
      <PageHead title={words.title} about={words.about} actions={<Select aria-label={words.versions} value={versions} onValue={(next) => setVersions(next === 'all' ? 'all' : 'newest')} options={[['newest', words.newest], ['all', words.all]]} className="w-40" />} />
      <Card flush>
        <Loaded query={files} lines={5}>
          {items.length === 0 ? (
            <Empty icon="data" title={words.empty}>
              {words.emptyAbout}
              <FirstFile />
            </Empty>
          ) : (
            <div className="relative overflow-x-auto">
              <table className="w-full text-sm num">
                <thead>
                  <tr className="border-b border-line">
                    <th scope="col" className={headClass}>{words.columns.name}</th>
                    <th scope="col" className={`${headClass} hidden md:table-cell`}>{words.columns.device}</th>
                    <th scope="col" className={`${headClass} hidden xl:table-cell`}>{words.digest}</th>
                    <th scope="col" className={`${headClass} text-right`}>{words.columns.size}</th>
                    <th scope="col" className={`${headClass} hidden text-right sm:table-cell`}>{words.columns.at}</th>
                    <th scope="col" className={headClass}><span className="sr-only">{words.download}</span></th>
                  </tr>
                </thead>
                <tbody className="divide-y divide-line">
                  {items.map((file) => <FileRow key={file.id} file={file} onRemove={() => setRemoving(file)} />)}
                </tbody>
              </table>
            </div>
          )}
          <More query={files} />
        </Loaded>
      </Card>
      <Confirm
        open={removing !== null}
        onClose={() => setRemoving(null)}
        title={words.removeTitle(leaving?.name ?? '')}
        about={words.removeAbout}
        action={text.common.remove}
        run={async () => {
          if (!leaving) return;
          await call('removeFile', { params: { id: leaving.id } });
          say(words.removedSaid(leaving.name));
          await refresh('files');
        }}
      />
    </>
  );
}

function FileRow({ file, onRemove }: { file: FileView; onRemove: () => void }) {
  const device = file.device === '' ? <span className="text-ink-3">{words.gone}</span> : <Link to="/devices/$device" params={{ device: file.deviceId }} className="rounded-sm hover:text-accent-ink hover:underline">{file.device}</Link>;
  return (
    <tr className="hover:bg-sunken/60" data-file={file.name}>
      <td className={`${cellClass} w-full max-w-0`}>
        <div className="flex min-w-0 items-center gap-2">
          <span className="min-w-0 truncate font-medium" title={file.name}>{file.name}</span>
          {file.replacedAt === null ? null : <Badge>{words.replaced}</Badge>}
        </div>
        <p className="truncate text-xs text-ink-3 md:hidden">{device}</p>
      </td>
      <td className={`${cellClass} hidden max-w-48 truncate md:table-cell`}>{device}</td>
      <td className={`${cellClass} hidden xl:table-cell`}><CopyValue value={file.sha256} shown={`${file.sha256.slice(0, 12)}…`} label={words.digestOf(file.name)} /></td>
      <td className={`${cellClass} text-right whitespace-nowrap`}>{bytes(file.bytes)}</td>
      <td className={`${cellClass} hidden text-right text-ink-2 sm:table-cell`}><Time at={file.createdAt} /></td>
      <td className={`${cellClass} w-px`}>
        <div className="flex items-center justify-end gap-1">
          {/* The browser takes it to the disk: always an attachment, never a page of ours. */}
          <a href={addressOfRoute('downloadFile', { id: file.id })} download={file.name.split('/').at(-1)} aria-label={words.downloadOf(file.name)} title={words.downloadOf(file.name)} className="inline-flex size-8 items-center justify-center rounded-lg text-ink-2 hover:bg-sunken hover:text-ink">
            <Icon name="download" size={16} />
          </a>
          <ActionMenu label={text.data.actions(file.name)} entries={[{ label: words.remove, icon: 'trash', danger: true, run: onRemove }]} />
        </div>
      </td>
    </tr>
  );
}
