// Adding a device: what it is, the command to run on it, and waiting with the person until it is there.
import type { Answer } from '#api/contract.ts';
import { useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { call } from '../api.ts';
import { agentsQuery, itemsOf, joinTokenQuery, queryClient, sitesQuery } from '../queries.ts';
import { text } from '../text.ts';
import { Callout, CopyBlock, Dot, Time } from '../ui/bits.tsx';
import { Button, buttonClass, Spinner } from '../ui/button.tsx';
import { Field, Select, SelectField, TextField } from '../ui/field.tsx';
import { Form } from '../ui/gate.tsx';
import { Icon } from '../ui/icons.tsx';
import { Dialog } from '../ui/overlay.tsx';
import { ProblemNote } from '../ui/problem.tsx';
import { say } from '../ui/toast.tsx';
import { draftOf, PortsEditor, portsOf, portsProblem } from './ports-editor.tsx';
import { RemoteHint } from './remote-hint.tsx';

type Made = Answer<'createJoinToken'>;

export function AddDevice({ open, onClose }: { open: boolean; onClose: () => void }) {
  const [made, setMade] = useState<Made | null>(null);
  const [round, setRound] = useState(0);
  const again = () => {
    setMade(null);
    setRound(round + 1);
  };
  return (
    <Dialog open={open} onClose={onClose} onClosed={() => setMade(null)} wide sticky title={made ? text.add.runTitle(made.joinToken.deviceName) : text.add.title} about={made ? text.add.runAbout : text.add.about}>
      {made ? <Waiting made={made} onAgain={again} onClose={onClose} /> : <Describe key={round} onMade={setMade} onClose={onClose} />}
    </Dialog>
  );
}

function Describe({ onMade, onClose }: { onMade: (made: Made) => void; onClose: () => void }) {
  const sites = useQuery(sitesQuery);
  const [name, setName] = useState('');
  const [ports, setPorts] = useState<readonly ReturnType<typeof draftOf>[]>(() => [draftOf({ number: 80, name: '', kind: 'http' })]);
  const [host, setHost] = useState('127.0.0.1');
  const [siteId, setSiteId] = useState('');
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const several = (sites.data?.items.length ?? 0) > 1;
  const agents = (itemsOf(useInfiniteQuery(agentsQuery).data) ?? []).filter((agent) => agent.state === 'active' && agent.may.includes('administer'));
  const [agentId, setAgentId] = useState('');
  const navigate = useNavigate();
  const wrongPorts = portsProblem(ports);
  const wrongHost = agentId !== '' && !/^[A-Za-z0-9._:-]+$/.test(host.trim());
  const chooseAgent = (id: string) => {
    setAgentId(id);
    // Behind an agent it is another machine; on its own it is the agent's.
    setHost(id ? '' : '127.0.0.1');
  };
  const send = async () => {
    setTried(true);
    if (!name.trim() || wrongPorts || wrongHost) return;
    setBusy(true);
    setProblem(null);
    try {
      if (agentId) {
        const device = await call('addDevice', { body: { agentId, name: name.trim(), host: host.trim(), ports: portsOf(ports) } });
        say(text.add.added(device.name));
        void queryClient.invalidateQueries({ queryKey: ['devices'] });
        await navigate({ to: '/devices/$device', params: { device: device.label } });
        return;
      }
      onMade(await call('createJoinToken', { body: { deviceName: name.trim(), host: host.trim() || '127.0.0.1', ports: portsOf(ports), ...(siteId ? { siteId } : {}) } }));
      void queryClient.invalidateQueries({ queryKey: ['join-tokens'] });
    } catch (thrown) {
      setProblem(thrown);
      setBusy(false);
    }
  };
  return (
    <Form onSubmit={() => void send()}>
      <TextField label={text.add.name} hint={text.add.nameHint} error={tried && !name.trim() ? text.add.problems.name : undefined} value={name} onValue={setName} placeholder={text.add.namePlaceholder} maxLength={100} autoComplete="off" autoFocus />
      {agents.length > 0 ? <SelectField label={text.add.agent} value={agentId} onValue={chooseAgent} options={[['', text.add.agentNew], ...agents.map((agent) => [agent.id, text.add.agentOld(agent.name)] as const)]} /> : null}
      {agentId ? <TextField label={text.add.hostBehind} hint={text.add.hostBehindHint} error={tried && wrongHost ? text.add.problems.host : undefined} value={host} onValue={setHost} placeholder="192.0.2.20" className="font-mono" autoCapitalize="none" spellCheck={false} autoComplete="off" /> : null}
      {several && !agentId ? <SelectField label={text.add.site} value={siteId || (sites.data?.items[0]?.id ?? '')} onValue={setSiteId} options={(sites.data?.items ?? []).map((site) => [site.id, site.name] as const)} /> : null}
      <PortsEditor ports={ports} onPorts={setPorts} problem={tried ? wrongPorts : null} />
      {agentId ? null : <OtherMachine host={host} onHost={setHost} />}
      <ProblemNote problem={problem} />
      <div className="flex justify-end gap-2">
        <Button onClick={onClose}>{text.common.cancel}</Button>
        <Button type="submit" tone="primary" busy={busy}>
          {agentId ? text.add.submitBehind : text.add.submit}
        </Button>
      </div>
    </Form>
  );
}

/** A device beside the agent: seldom wanted, so folded away. */
function OtherMachine({ host, onHost }: { host: string; onHost: (host: string) => void }) {
  return (
    <details className="group rounded-xl border border-line px-4 py-3">
      <summary className="flex items-center gap-2 text-sm font-medium text-ink-2 select-none">
        <Icon name="chevron" size={14} className="transition-transform group-open:rotate-90" />
        {text.add.advanced}
      </summary>
      <TextField label={text.add.host} hint={text.add.hostHint} value={host} onValue={onHost} className="font-mono" wide="mt-3" autoCapitalize="none" spellCheck={false} />
    </details>
  );
}

const isLoopback = (address: string) => /^(?:https?:\/\/)?(?:localhost|127\.|\[?::1\]?|[^/]*\.localhost)(?=[.:/]|\d|$)/i.test(address);

function Waiting({ made, onAgain, onClose }: { made: Made; onAgain: () => void; onClose: () => void }) {
  // One that other machines reach comes first when there is one.
  const best = Math.max(0, made.commands.findIndex((each) => !isLoopback(each.address)));
  const [chosen, setChosen] = useState(best);
  const token = useQuery(joinTokenQuery(made.joinToken.id));
  const now = token.data ?? made.joinToken;
  const command = made.commands[chosen];
  if (now.device) return <Joined device={now.device} onAgain={onAgain} onClose={onClose} />;
  if (now.state === 'expired') {
    return (
      <Callout mood="warn" icon="warning" title={text.add.expired} action={<Button onClick={onAgain}>{text.add.again}</Button>}>
        {text.add.expiredAbout}
      </Callout>
    );
  }
  return (
    <div className="flex flex-col gap-4">
      {made.commands.length > 1 ? (
        <Field label={text.add.address} hint={text.add.addressHint}>
          {({ id, describedBy }) => <Select id={id} aria-describedby={describedBy} value={String(chosen)} onValue={(value) => setChosen(Number(value))} options={made.commands.map((each, index) => [String(index), each.address] as const)} className="w-full" />}
        </Field>
      ) : null}
      {command ? <CopyBlock value={command.command} label={text.add.command} secret /> : null}
      <p className="-mt-2 text-xs text-ink-3">{text.add.needs}</p>
      {command && isLoopback(command.address) ? <LoopbackHint address={command.address} /> : null}
      <div role="status" className="flex items-start gap-3 rounded-xl bg-sunken px-4 py-3.5">
        <span className="mt-0.5 text-accent-ink">
          <Spinner size={18} />
        </span>
        <div className="min-w-0 flex-1 text-sm">
          <p className="font-medium">{text.add.waiting}</p>
          <p className="text-ink-2">{text.add.waitingAbout}</p>
          <p className="mt-1 text-xs text-ink-3">
            {text.devices.until} <Time at={now.expiresAt} />
          </p>
        </div>
      </div>
      <ProblemNote problem={token.error} again={() => void token.refetch()} />
      <div className="flex justify-end">
        <Button onClick={onClose}>{text.common.close}</Button>
      </div>
    </div>
  );
}

/** Brings the gateway's port to the device, run on the gateway's machine. */
function LoopbackHint({ address }: { address: string }) {
  const port = /:(\d+)/.exec(address.replace(/^https?:\/\//, ''))?.[1] ?? '8443';
  return (
    <Callout mood="warn" icon="info" title={text.add.loopback}>
      <p>{text.add.loopbackAbout}</p>
      <div className="mt-2">
        <CopyBlock value={`ssh -R ${port}:localhost:${port} USER@DEVICE`} label="ssh" />
      </div>
    </Callout>
  );
}

function Joined({ device, onAgain, onClose }: { device: NonNullable<Made['joinToken']['device']>; onAgain: () => void; onClose: () => void }) {
  return (
    <div className="flex flex-col items-center py-3 text-center" role="status">
      <span className="mb-4 flex size-14 items-center justify-center rounded-full bg-ok-soft text-ok-ink">
        <Icon name="check" size={30} />
      </span>
      <p className="text-lg font-semibold">{text.add.joined(device.name)}</p>
      <p className="mt-1 flex items-center gap-2 text-sm text-ink-2">
        <Dot mood={device.online ? 'ok' : 'neutral'} label={device.online ? text.devices.online : text.devices.offline} live={device.online} />
        {device.online ? text.add.joinedOnline : text.add.joinedOffline}
      </p>
      <div className="mt-6 flex flex-wrap justify-center gap-2">
        {device.url ? (
          <a href={device.url} target="_blank" rel="noopener" className={buttonClass('primary', 'lg')}>
            <Icon name="open" size={17} />
            {text.add.openIt}
          </a>
        ) : null}
        <Link to="/devices/$device" params={{ device: device.label }} onClick={onClose} className={buttonClass(device.url ? 'plain' : 'primary', 'lg')}>
          {text.add.details}
        </Link>
        <Button tone="quiet" size="lg" onClick={onAgain}>
          {text.add.another}
        </Button>
      </div>
      <div className="mt-6 w-full">
        <RemoteHint />
      </div>
    </div>
  );
}
