// Files of certificates: dropped, chosen or pasted here; and given to the browser to keep.
import { useId, useRef, useState } from 'react';
import { copyText } from '../copy.ts';
import { bytes } from '../format.ts';
import { text } from '../text.ts';
import { Button, IconButton } from '../ui/button.tsx';
import { Icon } from '../ui/icons.tsx';

const words = text.certificates.upload;
const FILES_MAX = 10;

export interface ChosenFile {
  readonly name: string;
  readonly size: number;
  readonly base64: string;
}

async function readFile(file: File): Promise<ChosenFile> {
  const all = new Uint8Array(await file.arrayBuffer());
  let binary = '';
  for (const byte of all) binary += String.fromCharCode(byte);
  return { name: file.name, size: file.size, base64: btoa(binary) };
}

interface FileDropProps {
  files: readonly ChosenFile[];
  onFiles: (files: readonly ChosenFile[]) => void;
  sizeMax: number;
  error?: string | undefined;
}

export function FileDrop({ files, onFiles, sizeMax, error }: FileDropProps) {
  const id = useId();
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);
  const add = async (given: readonly File[]) => {
    setRefusal(null);
    const large = given.find((file) => file.size > sizeMax);
    if (large) return setRefusal(words.tooLarge(large.name, bytes(sizeMax)));
    if (files.length + given.length > FILES_MAX) return setRefusal(words.tooMany);
    const read: ChosenFile[] = [];
    for (const file of given) {
      try {
        read.push(await readFile(file));
      } catch {
        return setRefusal(words.unreadable(file.name));
      }
    }
    // The same file once more is the same file, changed.
    onFiles([...files.filter((each) => read.every((other) => other.name !== each.name)), ...read]);
  };
  const wrong = refusal ?? error;
  return (
    <div className="flex flex-col gap-2">
      <div
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault();
          setOver(false);
          void add([...event.dataTransfer.files]);
        }}
        className={`flex flex-col items-center gap-2 rounded-xl border border-dashed px-4 py-6 text-center transition-colors ${over ? 'border-accent bg-accent-soft' : wrong ? 'border-bad bg-bad-soft' : 'border-line-strong bg-sunken/50'}`}
      >
        <p className="text-sm font-medium">{words.drop}</p>
        <p className="max-w-sm text-sm text-balance text-ink-2">{words.dropAbout}</p>
        <Button icon="plus" size="sm" onClick={() => input.current?.click()} aria-describedby={wrong ? `${id}-note` : undefined} aria-invalid={wrong ? true : undefined}>{words.choose}</Button>
        <input
          ref={input}
          type="file"
          multiple
          tabIndex={-1}
          aria-label={words.files}
          className="sr-only"
          onChange={(event) => {
            void add([...(event.target.files ?? [])]);
            event.target.value = ''; // the same file may be chosen again
          }}
        />
      </div>
      {wrong ? (
        <p id={`${id}-note`} role="alert" className="flex items-start gap-1.5 text-sm text-bad-ink">
          <Icon name="warning" size={15} className="mt-0.5" />
          {wrong}
        </p>
      ) : null}
      <ChosenFiles files={files} onFiles={onFiles} />
    </div>
  );
}

function ChosenFiles({ files, onFiles }: Pick<FileDropProps, 'files' | 'onFiles'>) {
  return (
    <ul className="flex flex-col gap-1 empty:hidden" aria-label={words.files}>
      {files.map((file) => (
        <li key={file.name} className="flex items-center gap-2 rounded-lg border border-line bg-surface py-0.5 pr-0.5 pl-3 text-sm">
          <Icon name="audit" size={15} className="text-ink-3" />
          <span className="min-w-0 flex-1 font-mono text-xs break-all">{file.name}</span>
          <span className="text-xs text-ink-3 num">{bytes(file.size)}</span>
          <IconButton icon="close" size="sm" label={words.remove(file.name)} onClick={() => onFiles(files.filter((each) => each !== file))} />
        </li>
      ))}
    </ul>
  );
}

/** Text of many lines, to be copied or kept as a file. */
export function PemBlock({ pem, label, fileName, download, type = 'application/x-pem-file' }: { pem: string; label: string; fileName: string; download: string; type?: string }) {
  const [copied, setCopied] = useState<boolean | null>(null);
  const copy = () =>
    void copyText(pem).then((done) => {
      setCopied(done);
      setTimeout(() => setCopied(null), 2_000);
    });
  return (
    <div className="overflow-hidden rounded-xl border border-line">
      <pre tabIndex={0} role="textbox" aria-readonly="true" aria-multiline="true" aria-label={label} className="max-h-64 overflow-auto bg-sunken px-3.5 py-2.5 font-mono text-xs leading-5 break-all whitespace-pre-wrap select-all focus-visible:-outline-offset-2">{pem.trim()}</pre>
      <div className="flex flex-wrap gap-2 border-t border-line px-3 py-2">
        <Button size="sm" icon={copied ? 'check' : 'copy'} aria-label={text.copy.copyOf(label)} onClick={copy}><span aria-live="polite">{copied === null ? text.copy.copy : copied ? text.copy.done : text.copy.failed}</span></Button>
        <Button size="sm" icon="download" onClick={() => saveFile(fileName, type, pem)}>{download}</Button>
      </div>
    </div>
  );
}

/** Hands a file to the browser. */
export function saveFile(name: string, type: string, content: string | Uint8Array<ArrayBuffer> | Blob): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  // Not at once: the download begins after this turn.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

export function bytesOfBase64(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
}
