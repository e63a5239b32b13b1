// A certified OpenID Connect provider (oidc-provider) over HTTPS on HOST, by default the loopback address, and PORT. A client gets RFC 9068 access
// tokens for the resource that it names, by its credentials. `POST /test/rotate` makes a new signing key; with `?overlap`
// the one before stays published. Every answer comes DELAY milliseconds late.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

const resource = 'https://users.example.com';
const keys = [newKey()];
let answer;

function newKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomBytes(8).toString('hex'), alg: 'ES256', use: 'sig' };
}

function provider(issuer) {
  const made = new Provider(issuer, {
    // The first key signs; the client's own signatures, which it never makes, must be of a kind that a key is there for.
    jwks: { keys },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    clients: [{
      client_id: 'orders', client_secret: 'not-a-secret-in-a-test', grant_types: ['client_credentials'],
      redirect_uris: [], response_types: [],
    }],
    cookies: { keys: [randomBytes(16).toString('hex')] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: 'users:read users:write admin', audience: 'users-api', accessTokenFormat: 'jwt', accessTokenTTL: 600,
          jwt: { sign: { alg: 'ES256' } },
        }),
        defaultResource: () => resource,
      },
    },
  });
  return made.callback();
}

const tls = { cert: readFileSync(process.env.CERT), key: readFileSync(process.env.KEY) };
const server = createServer(tls, (request, response) => {
  const url = new URL(request.url, issuer());
  if (request.method === 'POST' && url.pathname === '/test/rotate') {
    keys.unshift(newKey());
    keys.length = url.searchParams.has('overlap') ? 2 : 1;
    answer = provider(issuer());
    return response.writeHead(204).end();
  }
  setTimeout(() => answer(request, response), Number(process.env.DELAY ?? 0));
});
const issuer = () => process.env.ISSUER ?? `https://localhost:${server.address().port}`;

server.listen(Number(process.env.PORT ?? 0), process.env.HOST ?? '127.0.0.1', () => {
  answer = provider(issuer());
  console.log(JSON.stringify({ issuer: issuer() }));
});

// The first process of a container is not ended by a signal that it does not handle.
process.on('SIGTERM', () => process.exit(0));
