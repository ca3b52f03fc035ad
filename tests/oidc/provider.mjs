// An OpenID Connect provider for tests: arguments are its port and its only client's redirect URI.
// A login's name is whatever is typed; what the ID token says of it is set with PUT /test/claims/<name>.
// POST /test/keys gives it another signing key.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import http from 'node:http';
import Provider from 'oidc-provider';

const [port, redirectUri] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const claims = new Map();
let provider;

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' };
}

function start() {
  provider = new Provider(issuer, {
    clients: [{
      client_id: 'airlift',
      client_secret: 'the-secret-of-this-client',
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code'],
      response_types: ['code'],
    }],
    jwks: { keys: [signingKey()] },
    cookies: { keys: ['only-for-tests'] },
    pkce: { required: () => true },
    conformIdTokenClaims: false,
    claims: { openid: ['sub'], profile: ['preferred_username'], email: ['email'], groups: ['groups'] },
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, ...claims.get(id) }),
    }),
  });
}

async function body(request) {
  let text = '';
  for await (const piece of request) text += piece;
  return text;
}

start();
http.createServer(async (request, response) => {
  const [, test, what, name] = request.url.split('/');
  if (test !== 'test') {
    provider.callback()(request, response);
    return;
  }
  if (what === 'claims') claims.set(decodeURIComponent(name), JSON.parse(await body(request)));
  if (what === 'keys') start();
  response.end();
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));
