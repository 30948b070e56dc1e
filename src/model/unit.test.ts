import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentUnit, gatewayUnit, type UnitOptions } from './unit.ts';

const options: UnitOptions = { program: '/opt/postern/postern', args: ['serve', '--data', '/var/lib/postern', '--http', '80'], user: 'postern', folder: '/var/lib/postern', environmentFile: null, pool: [], ip: '/usr/sbin/ip', sysctl: '/usr/sbin/sysctl' };
const linesOf = (more: Partial<UnitOptions> = {}) => gatewayUnit({ ...options, ...more }).split('\n');

test('a gateway: the privilege for low ports, nothing else, its own folder', () => {
  const lines = linesOf();
  for (const line of ['ExecStart=/opt/postern/postern serve --data /var/lib/postern --http 80', 'User=postern', 'StateDirectory=postern', 'AmbientCapabilities=CAP_NET_BIND_SERVICE', 'CapabilityBoundingSet=CAP_NET_BIND_SERVICE', 'NoNewPrivileges=yes', 'ProtectSystem=strict', 'ProtectHome=yes', 'WantedBy=multi-user.target']) assert.ok(lines.includes(line), line);
  assert.ok(!lines.some((line) => line.includes('ExecStartPre')), 'without a pool no route');
  assert.ok(linesOf({ folder: '/srv/postern data' }).includes('ReadWritePaths="/srv/postern data"'));
  assert.ok(!linesOf({ folder: '/home/ada/data' }).includes('ProtectHome=yes'), 'what it needs is not hidden from it');
  assert.ok(linesOf({ environmentFile: '/etc/postern/environment' }).includes('EnvironmentFile=/etc/postern/environment'));
});

test('a pool: a route as root before the start, for what needs one', () => {
  const before = (pool: readonly string[] | null) => linesOf({ pool }).filter((line) => line.includes('ExecStartPre'));
  assert.deepEqual(before(['127.72.0.0/16']), []);
  assert.deepEqual(before(['100.72.0.0/16', '127.72.0.0/16']), ['ExecStartPre=+/usr/sbin/ip route replace local 100.72.0.0/16 dev lo']);
  assert.deepEqual(before(['fd00:72::/64']), ['ExecStartPre=+/usr/sbin/ip -6 route replace local fd00:72::/64 dev lo', 'ExecStartPre=+/usr/sbin/sysctl -q -w net.ipv6.ip_nonlocal_bind=1']);
  assert.match(before(null)[0]!, /^# ExecStartPre=/);
});

test('words of the command line are the words that were given', () => {
  const start = (...args: string[]) => linesOf({ args }).find((line) => line.startsWith('ExecStart='))!;
  assert.equal(start('a b', '100%', '$HOME', 'q"q', 'b\\s', ''), 'ExecStart=/opt/postern/postern "a b" 100%% $$HOME "q\\"q" "b\\\\s" ""');
});

test('an agent has no route', () => {
  const unit = agentUnit({ ...options, args: ['agent'], folder: '/var/lib/postern-agent', user: 'postern-agent' });
  assert.match(unit, /Description=Postern agent/);
  assert.match(unit, /StateDirectory=postern-agent\n/);
  assert.doesNotMatch(unit, /ExecStartPre|PrivateDevices/);
});
