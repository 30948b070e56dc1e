// The ports of a device: open them, change them, and the certificates that were accepted on https ports.
import type { DeviceView, PortView } from '#api/shapes.ts';
import { useState } from 'react';
import { call } from '../api.ts';
import { fingerprint } from '../format.ts';
import { text } from '../text.ts';
import { Badge, Card, CopyValue } from '../ui/bits.tsx';
import { Button } from '../ui/button.tsx';
import { TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { Icon } from '../ui/icons.tsx';
import { Confirm, Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { OpenLink } from './open-link.tsx';
import { draftOf, PortsEditor, portsOf, portsProblem } from './ports-editor.tsx';
import { refreshDevice } from './refresh-device.ts';
import { RemoteHint } from './remote-hint.tsx';

export function PortsCard({ device }: { device: DeviceView }) {
  const [editing, setEditing] = useState(false);
  const administers = device.may.includes('administer');
  return (
    <Card title={text.device.ports} about={text.device.portsAbout} flush actions={administers ? <Button size="sm" icon="edit" onClick={() => setEditing(true)}>{text.device.editPorts}</Button> : null}>
      <ul className="divide-y divide-line border-t border-line">
        {device.ports.map((port) => <PortRow key={port.number} device={device} port={port} />)}
      </ul>
      {device.url ? <div className="border-t border-line px-4 py-2.5 empty:hidden sm:px-5"><RemoteHint /></div> : null}
      <Dialog open={editing} onClose={() => setEditing(false)} wide sticky title={text.device.editPorts} about={device.name}>
        <EditPorts device={device} onClose={() => setEditing(false)} />
      </Dialog>
    </Card>
  );
}

function PortRow({ device, port }: { device: DeviceView; port: PortView }) {
  const name = port.name || text.device.unnamed(port.kind);
  return (
    <li className="flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3 sm:px-5">
      <span className="flex size-9 shrink-0 items-center justify-center rounded-lg bg-sunken text-ink-2">
        <Icon name={port.kind === 'http' || port.kind === 'https' ? 'browser' : 'terminal'} />
      </span>
      <div className="min-w-0 flex-1 basis-36">
        <p className="flex items-center gap-2 font-medium">
          <span className="truncate">{name}</span>
          <Badge>
            {port.kind} {port.number}
          </Badge>
        </p>
        {port.url ? <p className="truncate font-mono text-xs text-ink-3">{port.url}</p> : null}
      </div>
      {port.url && device.may.includes('open') ? (
        <OpenLink device={device} url={port.url} label={text.device.openPort(name)} size="sm">
          <Icon name="open" size={14} />
          {text.device.open}
        </OpenLink>
      ) : null}
      {port.kind === 'https' ? <Certificate device={device} port={port} /> : null}
    </li>
  );
}

function Certificate({ device, port }: { device: DeviceView; port: PortView }) {
  const [question, setQuestion] = useState<'forget' | 'pin' | null>(null);
  const close = () => setQuestion(null);
  const administers = device.may.includes('administer');
  const params = { device: device.id, port: port.number };
  return (
    <div className="flex w-full flex-wrap items-center gap-x-3 gap-y-1.5 rounded-lg bg-sunken px-3 py-2 text-xs text-ink-2">
      <Icon name="shield" size={15} className={port.fingerprint ? 'text-ok-ink' : 'text-ink-3'} />
      {port.fingerprint ? (
        <span className="min-w-0 flex-1 basis-44">
          {text.device.fingerprint}
          <span className="-ml-1 block">
            <CopyValue value={fingerprint(port.fingerprint)} label={text.device.fingerprint} />
          </span>
        </span>
      ) : (
        <span className="min-w-0 flex-1 basis-44">{text.device.fingerprintNone}</span>
      )}
      <span className="flex gap-1">
      {administers && port.fingerprint ? <Button size="sm" tone="quiet" onClick={() => setQuestion('forget')}>{text.device.forget}</Button> : null}
      {administers ? <Button size="sm" tone="quiet" onClick={() => setQuestion('pin')}>{port.fingerprint ? text.device.pin : text.device.pinFirst}</Button> : null}
      </span>
      <Confirm open={question === 'forget'} onClose={close} title={text.device.forgetTitle} about={text.device.forgetAbout} action={text.device.forget} run={() => call('forgetFingerprint', { params }).then((next) => (say(text.device.forgotten), refreshDevice(next)))} />
      <Dialog open={question === 'pin'} onClose={close} title={text.device.pinTitle} about={text.device.pinAbout}>
        <PinForm device={device} port={port} onClose={close} />
      </Dialog>
    </div>
  );
}

function PinForm({ device, port, onClose }: { device: DeviceView; port: PortView; onClose: () => void }) {
  const [typed, setTyped] = useState('');
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  // As browsers and openssl print it: pairs with colons, capitals, perhaps a prefix.
  const hex = typed.replace(/^.*=/, '').replace(/[\s:]/g, '').toLowerCase();
  const wrong = !/^[0-9a-f]{64}$/.test(hex);
  const send = async () => {
    if (wrong) return;
    setBusy(true);
    setProblem(null);
    try {
      const next = await call('acceptFingerprint', { params: { device: device.id, port: port.number }, body: { fingerprint: hex } });
      say(text.device.pinned);
      await refreshDevice(next);
      onClose();
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  return (
    <Form onSubmit={() => void send()}>
      <TextField label={text.device.pinLabel} value={typed} onValue={setTyped} error={typed && wrong ? text.device.pinWrong : undefined} className="font-mono" autoComplete="off" spellCheck={false} autoFocus />
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy} disabled={wrong}>
          {text.device.pinAction}
        </Button>
      </div>
    </Form>
  );
}

function EditPorts({ device, onClose }: { device: DeviceView; onClose: () => void }) {
  const [ports, setPorts] = useState(() => device.ports.map(draftOf));
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const wrong = portsProblem(ports);
  const send = async () => {
    setTried(true);
    if (wrong) return;
    setBusy(true);
    setProblem(null);
    try {
      const next = await call('changeDevice', { params: { device: device.id }, body: { ports: portsOf(ports) } });
      say(text.device.portsSaved);
      await refreshDevice(next);
      onClose();
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  return (
    <Form onSubmit={() => void send()}>
      <PortsEditor ports={ports} onPorts={(next) => setPorts([...next])} problem={tried ? wrong : null} />
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy}>
          {text.common.save}
        </Button>
      </div>
    </Form>
  );
}
