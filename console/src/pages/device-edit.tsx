// Name, label, address and Host of a device.
import type { DeviceView } from '#api/shapes.ts';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { deviceQuery, meQuery, queryClient } from '../queries.ts';
import { text } from '../text.ts';
import { Button } from '../ui/button.tsx';
import { SelectField, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';

const LABEL = /^(?=.{1,50}$)[a-z0-9]+(-[a-z0-9]+)*$/;

export function EditDevice({ device, open, onClose }: { device: DeviceView; open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} sticky title={text.device.editTitle}>
      <EditForm device={device} onClose={onClose} />
    </Dialog>
  );
}

function EditForm({ device, onClose }: { device: DeviceView; onClose: () => void }) {
  const me = useQuery(meQuery);
  const navigate = useNavigate();
  const [name, setName] = useState(device.name);
  const [label, setLabel] = useState(device.label);
  const [serial, setSerial] = useState(device.serial ?? '');
  const [host, setHost] = useState(device.host);
  const [hostHeader, setHostHeader] = useState(device.hostHeader);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const wrongLabel = !LABEL.test(label);
  const send = async () => {
    if (wrongLabel || !name.trim()) return;
    setBusy(true);
    setProblem(null);
    try {
      const changed = {
        ...(name.trim() === device.name ? {} : { name: name.trim() }),
        ...(label === device.label ? {} : { label }),
        ...((serial.trim() || null) === device.serial ? {} : { serial: serial.trim() || null }),
        ...(host.trim() === device.host ? {} : { host: host.trim() }),
        ...(hostHeader === device.hostHeader ? {} : { hostHeader }),
      };
      if (Object.keys(changed).length > 0) {
        const next = await call('changeDevice', { params: { device: device.id }, body: changed });
        queryClient.setQueryData(deviceQuery(next.label).queryKey, next);
        say(text.device.saved);
        if (next.label !== device.label) await navigate({ to: '/devices/$device', params: { device: next.label }, replace: true });
        void queryClient.invalidateQueries({ queryKey: ['devices'] });
        void queryClient.invalidateQueries({ queryKey: ['device'] });
      }
      onClose();
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  return (
    <Form onSubmit={() => void send()}>
      <TextField label={text.device.name} value={name} onValue={setName} error={name.trim() ? undefined : text.add.problems.name} maxLength={100} autoComplete="off" />
      <TextField label={text.device.label} hint={text.device.labelHint((me.data?.devicePattern ?? '{label}').replace('{label}', label || '…'))} error={wrongLabel ? text.device.labelWrong : undefined} value={label} onValue={(value) => setLabel(value.toLowerCase())} maxLength={50} className="font-mono" autoCapitalize="none" spellCheck={false} autoComplete="off" />
      <TextField label={`${text.add.serial} (${text.common.optional})`} value={serial} onValue={setSerial} maxLength={128} className="font-mono" autoComplete="off" />
      <TextField label={text.add.host} hint={text.add.hostHint} value={host} onValue={setHost} className="font-mono" autoCapitalize="none" spellCheck={false} autoComplete="off" />
      <SelectField label={text.device.hostHeader} hint={text.device.hostHeaderHint} value={hostHeader} onValue={(value) => setHostHeader(value === 'public' ? 'public' : 'own')} options={Object.entries(text.device.hostHeaders)} />
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
