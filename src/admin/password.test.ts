import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { isFault } from '#base/fault.ts';
import { limits } from '#base/limits.ts';
import { buildPasswords, checkPassword } from './password.ts';

const passwords = buildPasswords(randomBytes);

test('a password is known again, in either spelling of its letters; another is not', async () => {
  const phc = await passwords.hash('Gr\u00fc\u00dfe aus der Halle');
  assert.match(phc, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  assert.equal(await passwords.verify('Gru\u0308\u00dfe aus der Halle', phc), true);
  assert.equal(await passwords.verify('Gr\u00fc\u00dfe aus der halle', phc), false);
  assert.notEqual(await passwords.hash('Gr\u00fc\u00dfe aus der Halle'), phc, 'salted');
});

test('what the reference implementation wrote is understood', async () => {
  // argon2 (phc-winner-argon2) test vector: argon2id v=19 m=65536 t=2 p=1, "password", "somesalt"
  const phc = '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc';
  assert.equal(await passwords.verify('password', phc), true);
  assert.equal(await passwords.verify('Password', phc), false);
});

test('nobody, and a damaged string, are no match for any password', async () => {
  for (const phc of [null, '', '$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aaaaaaaaaaaaaaaaaaaaaaaaaa', '$argon2id$v=19$m=99999999,t=2,p=1$c29tZXNhbHQ$aaaaaaaaaaaaaaaaaaaaaaaaaa']) assert.equal(await passwords.verify('', phc), false);
});

test('a flood is refused instead of queued without end, and it passes', async () => {
  const small = '$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aaaaaaaaaaaaaaaaaaaaaaaaaa';
  const results = await Promise.allSettled(Array.from({ length: 120 }, () => passwords.verify('x', small)));
  const refused = results.filter((result) => result.status === 'rejected');
  assert.equal(refused.length, 120 - 102);
  assert.ok(refused.every((result) => isFault(result.reason, 'busy')));
  assert.equal(await passwords.verify('x', small), false);
});

test('which passwords will do', () => {
  const why = (password: string, login = 'ada') => {
    try {
      checkPassword(password, login, limits);
    } catch (thrown) {
      assert.ok(isFault(thrown, 'bad-input') && !thrown.message.includes(password || 'x'.repeat(99)));
      return thrown.message;
    }
    return null;
  };
  assert.equal(why('correct horse'), null);
  assert.equal(why('\u{1f511}\u{1f510}abcdefgh'), null, 'characters, not code units');
  assert.match(why('123456789')!, /fewer than 10/);
  assert.match(why('ababababababab')!, /repeats/);
  assert.match(why('x1y2'.repeat(257))!, /more than 1024/);
  assert.match(why('Ada.Lovelace', 'ada.lovelace')!, /is the login/);
});
