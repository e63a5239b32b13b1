// An application with one port for each kind of probe, which can be told to fail its liveness: HTTP on 3000, gRPC on 3001, TCP on 3002.
// Every request is logged, so that a test sees who asked.
const http = require('http');
const http2 = require('http2');
const net = require('net');

let live = true;
const log = (value) => console.log(JSON.stringify(value));

http.createServer((request, response) => {
  log({ port: 3000, method: request.method, url: request.url, headers: request.headers });
  if (request.url === '/fail') live = false;
  const status = request.url === '/live' && !live ? 500 : 200;
  // To be seen only by who was allowed in.
  response.writeHead(status).end(`secret of ${request.url}`);
}).listen(3000, process.env.HOST ?? '0.0.0.0');

// grpc.health.v1.Health/Check by hand: a message of five bytes of frame and `status: SERVING`.
http2.createServer((request, response) => {
  log({ port: 3001, url: request.url });
  response.setHeader('content-type', 'application/grpc');
  response.addTrailers({ 'grpc-status': '0' });
  response.end(Buffer.from([0, 0, 0, 0, 2, 8, 1]));
}).listen(3001, process.env.HOST ?? '0.0.0.0');

net.createServer((socket) => {
  socket.on('error', () => {});
  socket.on('data', (data) => log({ port: 3002, data: data.toString() }));
  socket.on('end', () => socket.end());
}).listen(3002, process.env.HOST ?? '0.0.0.0');

process.on('SIGTERM', () => process.exit(0));
