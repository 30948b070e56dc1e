// Pages of sessions that live in their URLs: which addresses get the prefix, and that no cut of the input matters.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildRewrite, prefixOfReferer, rewriteKindOf, rewriteLocation, rewriteRefresh, rewriteSetCookiePath, unprefixReferer } from './rewrite.ts';

const prefix = '/s/AAAAAAAAAAAAAAAAAAAAAA';
const host = 'scan.example.test:8443';
/** In expectations the prefix is written as "~". */
const whole = (text: string) => text.replaceAll('~', prefix);
const small = { linkTagBytesMax: 64, cssAddressBytesMax: 24 };

function run(pieces: readonly Buffer[], isCss = false, bounds?: typeof small) {
  const stage = buildRewrite({ prefix, host, isCss }, ...(bounds ? [bounds] : []));
  const out = pieces.map((piece) => stage.push(piece));
  out.push(stage.end());
  return { text: Buffer.concat(out).toString('latin1'), rewritten: stage.rewritten, longTags: stage.longTags };
}

/** The result, which must be the same for every cut in two, for single bytes, and with an empty piece between. */
function rewrite(input: string, isCss = false, bounds?: typeof small) {
  const bytes = Buffer.from(input, 'latin1');
  const one = run([bytes], isCss, bounds);
  for (let at = 0; at <= bytes.length; at++) assert.deepEqual(run([bytes.subarray(0, at), Buffer.alloc(0), bytes.subarray(at)], isCss, bounds), one, `cut at ${at}: ${JSON.stringify(input.slice(0, at))} | ${JSON.stringify(input.slice(at))}`);
  assert.deepEqual(run(Array.from(bytes, (byte) => Buffer.from([byte])), isCss, bounds), one, `byte by byte: ${input}`);
  return one;
}
const page = (input: string, expected: string) => assert.equal(rewrite(input).text, whole(expected));
const untouched = (input: string) => page(input, input);
const sheet = (input: string, expected: string) => assert.equal(rewrite(input, true).text, whole(expected));

test('attributes: what begins with a slash or with our host gets the prefix', () => {
  page('<a href="/x?y=1#z">', '<a href="~/x?y=1#z">');
  page('<a href="/">', '<a href="~/">');
  page("<IMG SRC='/x.png'>", "<IMG SRC='~/x.png'>");
  page('<img src=/x.png>', '<img src=~/x.png>');
  page('<a href=/x/>t', '<a href=~/x/>t');
  page('<form method=post action = "/go" >', '<form method=post action = "~/go" >');
  page('<button formaction="/b"><body background=/c><object data="/d"><video poster="/e">', '<button formaction="~/b"><body background=~/c><object data="~/d"><video poster="~/e">');
  page('<a\n\thref="/x"\r\n/>', '<a\n\thref="~/x"\r\n/>');
  page('<base href="/app/"><a href="x">', '<base href="~/app/"><a href="x">');
  page('<a href=" \t/x">', '<a href=" \t~/x">');
  page('<a href="\\x">', '<a href="~\\x">');
  page(`<a href="https://${host}/x">`, `<a href="https://${host}~/x">`);
  page(`<a href="HTTP://SCAN.example.test:8443">`, `<a href="HTTP://SCAN.example.test:8443~/">`);
  page(`<a href="//${host}?q">`, `<a href="//${host}~/?q">`);
  page('<a href="/x" title="a > b" href=\'/y\'>', '<a href="~/x" title="a > b" href=\'~/y\'>');
  page('<p title=it\'s><a href="/x">', '<p title=it\'s><a href="~/x">');
  page('<a href="/x"class="y"src="/z">', '<a href="~/x"class="y"src="~/z">');
  page('<svg xmlns:xlink="u"><use xlink:href="/i.svg#a"/>', '<svg xmlns:xlink="u"><use xlink:href="~/i.svg#a"/>');
});

test('attributes: what is relative, another\'s, or prefixed already does not', () => {
  for (const value of ['x', './x', '../x', '', '#x', '?x', '//other.example.test/x', 'https://other.example.test/x', 'http://scan.example.test/x', 'https://scan.example.test:8443.example.com/x', `https://user@${host}/x`, 'https:/x', 'data:image/png;base64,//', 'javascript:go("/x")', 'mailto:a@example.test', 'ftp://x/y', whole('~/x'), whole('~'), whole('~?x'), `https://${host}${prefix}/x`]) untouched(`<a href='${value}'>`);
  page('<a href="/s/AAAAAAAAAAAAAAAAAAAAAAB/x"><a href="/s/x">', '<a href="~/s/AAAAAAAAAAAAAAAAAAAAAAB/x"><a href="~/s/x">');
  untouched('<p data="/x" title="/x" alt=/x value="/x" href><input value="/x"></a href="/x"><a href=><a =/x>');
  untouched('a < b href="/x" <3 <> </> <');
});

test('default ports are the same host', () => {
  const at = (own: string, value: string) => rewriteLocation(value, prefix, own);
  assert.equal(at('scan.example.test', 'http://scan.example.test:80/x'), whole('http://scan.example.test:80~/x'));
  assert.equal(at('scan.example.test:443', 'https://scan.example.test/x'), whole('https://scan.example.test~/x'));
  assert.equal(at('[2001:db8::1]:8080', 'http://[2001:DB8::1]:8080/x'), whole('http://[2001:DB8::1]:8080~/x'));
  assert.equal(at('scan.example.test', 'http://scan.example.test:8080/x'), 'http://scan.example.test:8080/x');
});

test('references stand for their characters', () => {
  page('<a href="/x?a=1&amp;b=2&c">', '<a href="~/x?a=1&amp;b=2&c">');
  page('<a href="&#x2f;x&#x2F;y">', '<a href="~&#x2f;x&#x2F;y">');
  page('<a href="&#47;x"><a href="&sol;x">', '<a href="~&#47;x"><a href="~&sol;x">');
  untouched('<a href="&#x2f;&#47;other/x"><a href="javascript&colon;/x"><a href="&eacute;/x">');
  page(`<a href="https&#58;//${host}&#x2f;x">`, `<a href="https&#58;//${host}~&#x2f;x">`);
  page(`<a href="http&#x3a;&#x2f;&#x2f;scan&#46;example.test&#x3a;8443">`, `<a href="http&#x3a;&#x2f;&#x2f;scan&#46;example.test&#x3a;8443~/">`);
});

test('lists and refreshes', () => {
  page('<img srcset="/a.png, b.png 2x,/c.png 3x">', '<img srcset="~/a.png, b.png 2x,~/c.png 3x">');
  page('<img srcset=" /a.png 1x , data:image/png;base64,AA/BB 2x, /c.png">', '<img srcset=" ~/a.png 1x , data:image/png;base64,AA/BB 2x, ~/c.png">');
  page('<meta http-equiv="Refresh" content="5; url=/x">', '<meta http-equiv="Refresh" content="5; url=~/x">');
  page('<meta content="0;URL=\'/x\'" http-equiv=refresh>', '<meta content="0;URL=\'~/x\'" http-equiv=refresh>');
  page('<meta http-equiv=refresh content="0;/x">', '<meta http-equiv=refresh content="0;~/x">');
  page('<meta http-equiv=refresh content="3 url = /x?a=1&amp;b=2">', '<meta http-equiv=refresh content="3 url = ~/x?a=1&#38;b=2">');
  untouched('<meta name="x" content="5; url=/x"><meta http-equiv="refresh" content="5"><meta http-equiv=refresh content="/x"><meta http-equiv=refresh content="1;url=x">');
  assert.equal(rewriteRefresh('0;url=/x', prefix, host), whole('0;url=~/x'));
  assert.equal(rewriteRefresh(`3, URL="https://${host}/x" `, prefix, host), whole(`3, URL="https://${host}~/x" `));
  for (const value of ['', '5', 'url=/x', '5;url=', '5; url=x']) assert.equal(rewriteRefresh(value, prefix, host), value);
});

test('what is no tag goes by', () => {
  untouched('<!-- <a href="/x"> -- > --a <a href="/x"> -->');
  page('<!--><a href="/x"><!---><a href="/y"><!-- --!><a href="/z">', '<!--><a href="~/x"><!---><a href="~/y"><!-- --!><a href="~/z">');
  page('<!-- a --- b --><a href="/x">', '<!-- a --- b --><a href="~/x">');
  untouched('<script>if (a</b/.test("<a href=\'/x\'>")) go("/x") </scripty> </script');
  page('<script src="/a.js">"<a href=\'/x\'>"</SCRIPT ><a href="/y">', '<script src="~/a.js">"<a href=\'/x\'>"</SCRIPT ><a href="~/y">');
  page('<textarea><a href="/x"></textarea><title><a href="/x"></title><a href="/x">', '<textarea><a href="/x"></textarea><title><a href="/x"></title><a href="~/x">');
  untouched('<![CDATA[<a href="/x">]] ><a href="/y">');
  page('<![CDATA[<a href="/x">]]]]><a href="/y">', '<![CDATA[<a href="/x">]]]]><a href="~/y">');
  page('<![if IE]><a href="/x"><?php echo "<a" ?><a href="/y">', '<![if IE]><a href="~/x"><?php echo "<a" ?><a href="~/y">');
  untouched('<plaintext><a href="/x"></plaintext><a href="/x">');
  untouched('<a href="/x');
  untouched('<!doctyp');
  untouched('<!');
  untouched('<style>a{b:url(/x');
});

test('an element that closes itself, in XML and in HTML', () => {
  untouched('<html><script src="x"/><a href="/y">');
  page('<?xml version="1.0"?><html><script src="/x"/><a href="/y"></html>', '<?xml version="1.0"?><html><script src="~/x"/><a href="~/y"></html>');
  page('<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"><textarea name="a" /><a href="/y">', '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"><textarea name="a" /><a href="~/y">');
  untouched('<?xml version="1.0"?><script a / async><a href="/y">');
});

test('style sheets, elements and attributes', () => {
  sheet('a{background:url(/x.png)}', 'a{background:url(~/x.png)}');
  sheet('a{b:URL( "/x.png" ) , url(\'/y\')}', 'a{b:URL( "~/x.png" ) , url(\'~/y\')}');
  sheet(`@import "/a.css";@import url(/b.css);@IMPORT '/c.css' screen;`, `@import "~/a.css";@import url(~/b.css);@IMPORT '~/c.css' screen;`);
  sheet(`url(https://${host}/x)url(https://other.example.test/x)`, `url(https://${host}~/x)url(https://other.example.test/x)`);
  for (const same of ['url(x.png)url(../x)url(#x)url(data:image/png;base64,AA)url()', 'a{content:"url(/x)"}b{content:\'\\\'url(/x)\'}', '/* url(/x) " */', '-my-url(/x) xurl(/x) \\url(/x)', 'a\\"b', 'url(/x\\)y', 'url("/x', 'url( /x', '@import  "/x', '/', 'ur', '@impor', 'a{content:"\\']) sheet(same, same);
  sheet('a{content:"x\nurl(/y)"}', 'a{content:"x\nurl(~/y)"}');
  sheet('a/**/url(/x)/* */ url(/y)', 'a/**/url(~/x)/* */ url(~/y)');
  sheet('.a\\"{b:url(/x)}', '.a\\"{b:url(~/x)}');
  page('<style type="text/css"><!-- a{b:url(/x)} /* </style > */ url(/y)<a href="/z">', '<style type="text/css"><!-- a{b:url(~/x)} /* </style > */ url(/y)<a href="~/z">');
  page('<STYLE>a{b:url("/x")}</STYLES>url(/y)</STYLE>url(/z)', '<STYLE>a{b:url("~/x")}</STYLES>url(~/y)</STYLE>url(/z)');
  page('<p style="background:url(/x)"><p style=\'b:url("/x")\'>', '<p style="background:url(~/x)"><p style=\'b:url("~/x")\'>');
  page('<p style=b:url(/x)&#32;onclick=a&#61;1>', '<p style=b:url(~/x)&#32;onclick&#61;a&#61;1>');
  page('<meta http-equiv=refresh content=5;url=&#47;x&#9;onclick=a>', '<meta http-equiv=refresh content=5;url&#61;~/x&#9;onclick&#61;a>');
  page('<p style="b:url(&quot;/x&quot;)"><p style="b:url(&nbsp;/x)">', '<p style="b:url(&#34;~/x&#34;)"><p style="b:url(&nbsp;/x)">');
});

test('bounds: a long tag goes through as it is and is counted, a long address in a style sheet, too', () => {
  const long = `<a href="/x" title="${'t'.repeat(60)}>">`;
  assert.deepEqual(rewrite(`${long}<a href="/y">`, false, small), { text: whole(`${long}<a href="~/y">`), rewritten: 1, longTags: 1 });
  for (let length = 40; length < 70; length++) {
    const tag = `<a href="/x" ${'t'.repeat(length - 14)}>`;
    const { text, longTags } = rewrite(`${tag}.`, false, small);
    assert.equal(longTags, tag.length > 64 ? 1 : 0);
    assert.equal(text, tag.length > 64 ? `${tag}.` : whole(`${tag.replace('/x', '~/x')}.`));
  }
  assert.equal(rewrite(`<script title="${'t'.repeat(60)}"><a href="/x"></script><a href="/y">`, false, small).text, whole(`<script title="${'t'.repeat(60)}"><a href="/x"></script><a href="~/y">`), 'it is still known what it was');
  assert.equal(rewrite(`<${'n'.repeat(80)}><a href="/x">`, false, small).text, whole(`<${'n'.repeat(80)}><a href="~/x">`));
  for (let length = 15; length < 35; length++) {
    const address = `/${'a'.repeat(length - 1)}`;
    for (const around of ['url(_)x', 'url("_")x', 'url( _ ) url(/b)', '@import "_"; url(/b)', 'url(_ x)url(/b)']) {
      const expected = around.replace('_', length > 24 ? address : `~${address}`).replace('url(/b)', 'url(~/b)');
      assert.equal(rewrite(around.replace('_', address), true, small).text, whole(expected), around);
    }
  }
  const stage = buildRewrite({ prefix, host, isCss: false });
  let held = 0;
  for (let i = 0; i < 100; i++) held += 1024 - stage.push(Buffer.from(i === 0 ? `<a x="${'y'.repeat(1018)}` : 'y'.repeat(1024))).length;
  assert.ok(held <= 17 * 1024, `${held} bytes held`);
});

test('every character set that has ASCII; UTF-16 is left alone', () => {
  page('<a href="/\xe9\xff">\x83\x5c\x82\xa0<a title="\x83\x5c" href="/x">', '<a href="~/\xe9\xff">\x83\x5c\x82\xa0<a title="\x83\x5c" href="~/x">');
  page('\xef\xbb\xbf<a href="/x">', '\xef\xbb\xbf<a href="~/x">');
  for (const bom of [true, false]) {
    const little = Buffer.from(`${bom ? '\ufeff' : ''}<html><a href="/x">url(/x)</a><style>a{b:url(/x)}</style>`, 'utf16le');
    const text = little.toString('latin1');
    untouched(text);
    untouched(Buffer.from(little).swap16().toString('latin1'));
    sheet(text, text);
  }
  assert.equal(rewriteKindOf('text/html; charset=Shift_JIS'), 'html');
  assert.equal(rewriteKindOf('application/xhtml+xml'), 'html');
  assert.equal(rewriteKindOf('TEXT/CSS;charset="utf-8"'), 'css');
  for (const type of [undefined, '', 'text/plain', 'text/htmlx', 'image/svg+xml', 'text/html; charset=UTF-16LE', 'text/css; charset="utf-16"', 'text/html;charset=iso-2022-jp']) assert.equal(rewriteKindOf(type), null, String(type));
});

test('nothing to change: the piece itself goes on', () => {
  const stage = buildRewrite({ prefix, host, isCss: false });
  const piece = Buffer.from('<p>text <a href="x">y</a></p>');
  assert.equal(stage.push(piece), piece);
  assert.equal(stage.end().length, 0);
});

test('seeded: pieces of markup in any order, bytes flipped, cut anywhere: no throw, one result', () => {
  const parts = ['<a href="/x">', "<img src='/y' srcset=\"/a, /b 2x\">", '<!--', '-->', '--!>', '<script>', '</script>', '<style>', '</style>', 'url(/z)', 'url("/q")', "@import '/i';", '/*', '*/', '<![CDATA[', ']]>', '<?xml ?>', '<!doctype xhtml>', '<', '>', '"', "'", '=', ' ', '/', '\\', '<meta http-equiv=refresh content="0;url=/m">', '<textarea>', '</textarea>', '<p style="b:url(/s)">', '&#47;', '\n', 'text', '</', '<br/>', '<script/>', '\xff', '\0'];
  for (let seed = 1; seed <= 400; seed++) {
    let state = seed;
    const dice = (below: number) => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0, Math.floor((state / 2 ** 32) * below));
    const bytes = Buffer.from(Array.from({ length: 3 + dice(20) }, () => parts[dice(parts.length)]!).join(''), 'latin1');
    if (seed % 2 === 0) for (let i = 0; i < 3; i++) bytes[dice(bytes.length)] = dice(256);
    const isCss = seed % 5 === 0;
    const bounds = seed % 3 === 0 ? small : undefined;
    const one = run([bytes], isCss, bounds);
    if (one.rewritten === 0) assert.equal(one.text, bytes.toString('latin1'));
    else assert.ok(one.text.includes(prefix));
    for (let round = 0; round < 12; round++) {
      const pieces: Buffer[] = [];
      for (let at = 0; at < bytes.length; ) {
        const to = at + 1 + dice(round === 0 ? 1 : 9);
        pieces.push(bytes.subarray(at, to));
        at = to;
      }
      assert.deepEqual(run(pieces, isCss, bounds), one, `seed ${seed}: ${JSON.stringify(bytes.toString('latin1'))}`);
    }
  }
});

test('prefixes of targets: strict', () => {
  const sid = 'AAAAAAAAAAAAAAAAAAAA-_';
  assert.equal(unprefixReferer(`https://${host}/s/${sid}/x?y`), `https://${host}/x?y`);
  assert.equal(unprefixReferer(`http://other.example.test/d/${sid}`), 'http://other.example.test/');
  assert.equal(unprefixReferer(`/s/${sid}/x`), '/x');
  for (const value of ['', 'about:blank', `https://${host}/x`, `https://${host}`]) assert.equal(unprefixReferer(value), value);
  assert.equal(prefixOfReferer(`https://SCAN.example.test:8443/s/${sid}/x`, host)!.secret, sid);
  for (const value of [`https://other.example.test/s/${sid}/x`, `https://${host}/x`, '', `/s/${sid}/x`]) assert.equal(prefixOfReferer(value, host), null);
});

test('Location and cookies\' paths', () => {
  for (const [value, expected] of [['/x', '~/x'], ['x', 'x'], ['', ''], ['?x', '?x'], ['//other.example.test/', '//other.example.test/'], [`https://${host}/x`, `https://${host}~/x`], [whole('~/x'), '~/x'], ['https://other.example.test/x', 'https://other.example.test/x']] as const) assert.equal(rewriteLocation(value, prefix, host), whole(expected));
  for (const [value, expected] of [
    ['a=1; Path=/', 'a=1; Path=~/'], ['a=1;path = /app;Secure', 'a=1;path = ~/app;Secure'], ['a=1', 'a=1'], ['a=/; Path=; Path=x', 'a=/; Path=; Path=x'], ['__Host-a=1; Path=/; Secure', '__Host-a=1; Path=/; Secure'],
    ['path=/x; Path=/y; PATH=/z', 'path=/x; Path=~/y; PATH=~/z'], [whole('a=1; Path=~/x'), 'a=1; Path=~/x'], ['', ''], [';path=/', ';path=~/'],
  ] as const) assert.equal(rewriteSetCookiePath(value, prefix), whole(expected));
});
