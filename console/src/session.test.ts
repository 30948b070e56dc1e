import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOwnPath, signInAddress, wayBack } from './session.ts';

test('the way back survives the sign-in, with its query and its one-time code', () => {
  for (const path of ['/cli#WXYZ-1234', '/open?host=printer1.gw.example.test%3A8443&to=%2Fa%3Fb%3D1%26c%3D2%23d', '/devices?q=50%25', '/people']) {
    const address = signInAddress(path);
    assert.ok(address.startsWith('/sign-in#'), address);
    assert.equal(wayBack(address.slice(address.indexOf('#'))), path);
  }
});

test('nobody is sent to another host after signing in', () => {
  for (const path of ['//evil.example', '/\\evil.example', 'https://evil.example/', 'javascript:alert(1)', '', '/sign-in', '%']) {
    assert.equal(isOwnPath(path), false, path);
    assert.equal(wayBack(`#${encodeURIComponent(path)}`), '/devices', path);
  }
  assert.equal(wayBack('#%'), '/devices');
  assert.equal(signInAddress('//evil.example'), '/sign-in');
});
