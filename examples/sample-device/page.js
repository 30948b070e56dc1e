// Live readings and the echo. Paths are absolute on the host that the page came from, so that it works behind any name.
'use strict';
(() => {
  const of = (id) => document.getElementById(id);
  const readings = [];
  const kept = 90;

  function say(state, text) {
    of('state').dataset.state = state;
    of('state').textContent = text;
  }

  function draw() {
    const [width, height, edge] = [600, 140, 8];
    const values = readings.map((reading) => reading.temperature);
    const [least, most] = [Math.min(...values) - 1, Math.max(...values) + 1];
    const points = values.map((value, i) => {
      const x = ((kept - values.length + i) / (kept - 1)) * width;
      const y = height - edge - ((value - least) / (most - least)) * (height - 2 * edge);
      return `${x.toFixed(1)} ${y.toFixed(1)}`;
    });
    if (points.length < 2) return;
    of('line').setAttribute('d', `M${points.join('L')}`);
    of('area').setAttribute('d', `M${points[0].split(' ')[0]} ${height}L${points.join('L')}L${width} ${height}Z`);
    of('span').textContent = `${Math.min(...values)} to ${Math.max(...values)} °C`;
  }

  function show(reading) {
    of('temperature').textContent = reading.temperature.toFixed(1);
    of('pages').textContent = reading.pages.toLocaleString('en');
    of('toner').textContent = String(reading.toner);
  }

  const source = new EventSource('/events');
  source.addEventListener('history', (event) => {
    readings.splice(0, readings.length, ...JSON.parse(event.data));
    say('live', 'live');
    show(readings[readings.length - 1]);
    draw();
  });
  source.addEventListener('reading', (event) => {
    readings.push(JSON.parse(event.data));
    if (readings.length > kept) readings.shift();
    show(readings[readings.length - 1]);
    draw();
  });
  source.addEventListener('error', () => say('lost', 'connection lost, trying again …'));

  let socket = null;
  let sentAt = 0;
  function open() {
    socket = new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/echo`);
    socket.addEventListener('open', () => (of('echo-button').disabled = false));
    socket.addEventListener('close', () => {
      of('echo-button').disabled = true;
      setTimeout(open, 2000);
    });
    socket.addEventListener('message', (event) => {
      of('echo-answer').textContent = `${event.data}  (${(performance.now() - sentAt).toFixed(1)} ms)`;
    });
  }
  open();
  of('echo-form').addEventListener('submit', (event) => {
    event.preventDefault();
    sentAt = performance.now();
    socket.send(of('echo-text').value);
  });
})();
