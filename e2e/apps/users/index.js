// A small API as people write it: no authentication, no authorization, no TLS. Every request is logged, one JSON
// document a line, so that a test can prove what arrived, and answered with what was received.
const express = require('express');

const app = express();
const users = [{ id: 'alice', name: 'Alice' }, { id: 'olga', name: 'Olga' }];

app.use(express.json());

app.use((req, res, next) => {
  console.log(JSON.stringify({ method: req.method, url: req.originalUrl, headers: req.headers }));
  next();
});

const received = (req) => ({ method: req.method, url: req.originalUrl, headers: req.headers, body: req.body ?? null });

app.get('/users', (req, res) => res.json({ users, received: received(req) }));

app.get('/users/:id', (req, res) => {
  const user = users.find(({ id }) => id === req.params.id);
  if (!user) return res.status(404).json({ error: 'no such user', received: received(req) });
  res.json({ user, received: received(req) });
});

app.post('/users', (req, res) => res.status(201).json({ user: req.body, received: received(req) }));

app.get('/admin', (req, res) => res.json({ secret: 'the keys to the house', received: received(req) }));

app.get('/public/hello', (req, res) => res.json({ hello: 'world', received: received(req) }));

// Node's own default would be all addresses; in a container people write HOST=0.0.0.0.
const server = app.listen(Number(process.env.PORT ?? 3000), process.env.HOST ?? '127.0.0.1', (error) => {
  if (error) throw error;
  console.log(JSON.stringify({ listening: server.address().port }));
});

// The first process of a container is not ended by a signal that it does not handle.
process.on('SIGTERM', () => server.close(() => process.exit(0)));
