import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findDestination, sshArguments } from './ssh.ts';

test('the destination is found behind options with and without values', () => {
  const at = (line: string) => findDestination(line.split(' '));
  assert.equal(at('printer'), 0);
  assert.equal(at('-v printer ls -l'), 1);
  assert.equal(at('-p 2222 printer'), 2);
  assert.equal(at('-p2222 printer'), 1);
  assert.equal(at('-vL 8080:localhost:80 root@printer'), 2);
  assert.equal(at('-o BatchMode=yes -- printer'), 3);
  assert.equal(at('-v'), -1);
});

test('ssh gets the command, the alias, and the rest as it was', () => {
  const args = sshArguments(['-v', 'root@acme/printer', 'uname', '-a'], ['/opt/it’s here/node', '/opt/100%/postern']);
  assert.deepEqual(args, ['-o', "ProxyCommand='/opt/it’s here/node' '/opt/100%%/postern' 'connect' 'acme/printer' %p", '-o', 'HostKeyAlias=acme.printer', '-o', 'CheckHostIP=no', '-v', 'root@acme.printer', 'uname', '-a']);
});

test('a name that could mean something to a shell or to ssh is refused', () => {
  for (const name of ['$(reboot)', 'a;b', "a'b", '-oProxyCommand=x', 'a b']) assert.throws(() => sshArguments(['--', name], ['postern']), name);
});
