import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeAddressPool, judgeCallbacks, routeCommand, type CallbacksSeen, type PoolSeen } from './doctor-addresses.ts';

const pool: PoolSeen = { networks: [{ network: '100.72.0.0/16', code: null }], capacity: 65_023, used: 3, without: 0, outside: 0, serversElsewhere: ['192.0.2.9'], serversUnresolved: [], gateway: '192.0.2.1' };
const calls: CallbacksSeen = { ports: [{ transport: 'udp', port: 161, code: null }], mayBind: true, unprivilegedFrom: 1_024, failed: [], open: 3, beyond: 0 };

test('a network without its route: the one command, and how it stays', () => {
  const judged = judgeAddressPool({ ...pool, networks: [{ network: '100.72.0.0/16', code: 'EADDRNOTAVAIL' }, { network: '127.72.0.0/16', code: null }] });
  assert.equal(judged.status, 'failure');
  assert.equal(judged.remedy, 'Run as root: ip route add local 100.72.0.0/16 dev lo');
  const said = judged.evidence!.join('\n');
  for (const part of ['50-postern.network', 'Destination=100.72.0.0/16', 'Type=local', 'up ip route add local 100.72.0.0/16 dev lo', '127.72.0.0/16: leads to this machine; it needs no route']) assert.ok(said.includes(part), part);
  assert.equal(routeCommand('127.72.0.0/16'), null);
  assert.match(routeCommand('fd00:72::/64')!, /^ip -6 route add local fd00:72::\/64 dev lo && sysctl -w net\.ipv6\.ip_nonlocal_bind=1$/);
});

test('all is well: what a server elsewhere needs', () => {
  const judged = judgeAddressPool(pool);
  assert.equal(judged.status, 'ok');
  assert.ok(judged.evidence!.includes('a server on another machine needs the route: ip route add 100.72.0.0/16 via 192.0.2.1 (Windows: route -p add 100.72.0.0 mask 255.255.0.0 192.0.2.1)'));
  assert.equal(judgeAddressPool(null).status, 'skipped');
});

test('what else may be wrong with a pool', () => {
  const loopback = { ...pool, networks: [{ network: '127.72.0.0/16', code: null }] };
  assert.match(judgeAddressPool(loopback).verdict, /^192\.0\.2\.9 is on another machine/);
  assert.equal(judgeAddressPool({ ...loopback, serversElsewhere: [] }).status, 'ok');
  assert.match(judgeAddressPool({ ...pool, without: 2 }).verdict, /^2 devices have no virtual address/);
  assert.match(judgeAddressPool({ ...pool, outside: 1 }).verdict, /^1 device has an address that the pool does not have/);
  assert.match(judgeAddressPool({ ...pool, used: 64_000 }).verdict, /nearly full: 1023 are left/);
  assert.match(judgeAddressPool({ ...pool, serversUnresolved: ['scan.example.test'] }).verdict, /^scan\.example\.test cannot be resolved/);
});

test('ports that need a privilege: both ways to it', () => {
  assert.equal(judgeCallbacks(calls).status, 'ok');
  assert.equal(judgeCallbacks({ ...calls, ports: [] }).status, 'skipped');
  const shut = judgeCallbacks({ ...calls, mayBind: false, ports: [{ transport: 'tcp', port: 631, code: 'EACCES' }, { transport: 'udp', port: 161, code: 'EACCES' }, { transport: 'udp', port: 5060, code: null }] });
  assert.equal(shut.status, 'failure');
  assert.match(shut.verdict, /^631\/tcp, 161\/udp may not be opened/);
  assert.match(shut.remedy!, /--print-unit.*ip_unprivileged_port_start=161$/);
  assert.ok(shut.evidence!.includes('this process does not have CAP_NET_BIND_SERVICE'));
  const taken = { transport: 'udp', port: 161, code: 'EADDRINUSE', count: 4, address: '100.72.0.9', why: 'another program has udp port 161' };
  const inUse = judgeCallbacks({ ...calls, failed: [taken] });
  assert.deepEqual([inUse.status, inUse.verdict], ['warning', '4 ports of virtual addresses are not open: another program has udp port 161']);
  assert.equal(judgeCallbacks({ ...calls, failed: [{ ...taken, code: 'EADDRNOTAVAIL' }] }).status, 'ok', 'a missing route is the other check\'s');
  assert.match(judgeCallbacks({ ...calls, beyond: 7 }).verdict, /^7 ports .* too many/);
});
