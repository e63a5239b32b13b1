// Calls others for tests, from inside a pod: with the pod's DNS, and with the pod's certificate where the agent keeps one.
// POST /call {url, method, headers, servername, certificate, ca} answers what was answered. POST /load {url, …, rate} begins to
// call again and again, GET /load counts, DELETE /load stops and counts. Every count is of requests that have ended.
const fs = require('fs');
const http = require('http');
const https = require('https');

const folder = '/var/run/doorward/client';
const read = (name) => {
  try {
    return fs.readFileSync(`${folder}/${name}`);
  } catch {
    return undefined;
  }
};

// Read for each connection: the agent replaces the files. All of one moment, or what was there before.
let last = {};
const identity = ({ ca, certificate }) => {
  const moment = fs.existsSync(`${folder}/..data`) ? fs.readlinkSync(`${folder}/..data`) : undefined;
  const now = { ca: read('ca.crt'), cert: read('tls.crt'), key: read('tls.key') };
  const same = moment && moment === fs.readlinkSync(`${folder}/..data`);
  if (same && now.ca && now.cert && now.key) last = now;
  return { ca: ca ?? last.ca, ...(certificate ? { cert: last.cert, key: last.key } : {}) };
};

const call = ({ url, method = 'GET', headers = {}, servername, certificate = true, ca, body }, agent) =>
  new Promise((resolve) => {
    const { protocol } = new URL(url);
    const tls = protocol === 'https:' ? { ...identity({ ca, certificate }), servername } : {};
    const request = (protocol === 'https:' ? https : http).request(url, { method, headers, agent, timeout: 15000, ...tls });
    request.on('timeout', () => request.destroy(Object.assign(new Error('no answer within 15 s'), { code: 'ETIMEOUT' })));
    request.on('error', (error) => resolve({ error: error.code ?? error.message, message: error.message, reused: request.reusedSocket }));
    request.on('response', (response) => {
      const chunks = [];
      const peer = response.socket.getPeerCertificate?.();
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', (error) => resolve({ error: error.code ?? error.message, message: error.message }));
      response.on('end', () => resolve({
        status: response.statusCode, headers: response.headers, body: Buffer.concat(chunks).toString(),
        serial: peer?.serialNumber, reused: request.reusedSocket,
      }));
    });
    request.end(body);
  });

let load;

const start = ({ rate, connections = 8, fresh = 4, ...target }) => {
  const secure = target.url.startsWith('https:') ? https : http;
  const agent = new secure.Agent({ keepAlive: true, maxSockets: connections });
  const counts = { ended: 0, ok: 0, connections: 0, failed: {}, serials: {} };
  let number = 0;
  const once = async () => {
    // Every so often on a connection of its own: that is how a caller sees which pods there are now.
    const own = number++ % fresh === 0;
    let answer = await call(target, own ? false : agent);
    // A server may close an idle connection at any moment; an idempotent request is then sent again (RFC 9110, section 9.2.2).
    if (answer.error && answer.reused) answer = await call(target, false);
    if (!answer.reused) counts.connections += 1;
    counts.ended += 1;
    if (answer.serial) counts.serials[answer.serial] = (counts.serials[answer.serial] ?? 0) + 1;
    if (answer.status === 200) counts.ok += 1;
    else {
      const why = String(answer.status ?? answer.error);
      counts.failed[why] = (counts.failed[why] ?? 0) + 1;
      console.log(JSON.stringify({ at: new Date().toISOString(), ...answer }));
    }
  };
  const running = new Set();
  const begin = process.hrtime.bigint();
  const timer = setInterval(() => {
    const due = Math.floor((Number(process.hrtime.bigint() - begin) / 1e9) * rate);
    // Bounded: a caller whose callee is slow waits, as one that keeps few connections does.
    while (number < due && running.size < connections * 4) {
      const one = once().finally(() => running.delete(one));
      running.add(one);
    }
  }, 10);
  load = { counts, stop: async () => { clearInterval(timer); await Promise.all(running); agent.destroy(); } };
};

const answer = (response, status, value) => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
};

const routes = {
  'POST /call': async (input) => call(input, false),
  'POST /load': async (input) => { await load?.stop(); start(input); return {}; },
  'GET /load': async () => load.counts,
  'DELETE /load': async () => { await load.stop(); return load.counts; },
  // What the agent wrote, but for the key.
  'GET /files': async () => ({ certificate: read('tls.crt')?.toString(), ca: read('ca.crt')?.toString(), key: read('tls.key') !== undefined }),
};

const server = http.createServer(async (request, response) => {
  const route = routes[`${request.method} ${request.url}`];
  if (!route) return answer(response, 404, {});
  let text = '';
  for await (const chunk of request) text += chunk;
  try {
    answer(response, 200, await route(text ? JSON.parse(text) : {}));
  } catch (error) {
    answer(response, 500, { error: error.message });
  }
});
server.listen(8000, '::');
process.on('SIGTERM', () => process.exit(0));
