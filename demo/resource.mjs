// A protected resource that only Envoy can reach: `node demo/resource.mjs`, from the repository's root.
//
// It knows nothing of OAuth: Envoy has verified the token, and certbound that its holder has the client's key. It answers
// with what it received: the claims, if the token is a JWT, and what certbound forwards.

import { serveBehindEnvoy } from './behind-envoy.mjs';

async function handle(request, response) {
  for await (const _ of request); // an answer before the end of a body would cut it off
  const { authorization, 'client-cert': certificate, 'client-thumbprint': thumbprint } = request.headers;
  const payload = authorization?.split('.')[1];
  const claims = payload && JSON.parse(Buffer.from(payload, 'base64url'));
  response.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(JSON.stringify({ claims, thumbprint, certificate }));
}

serveBehindEnvoy({ identity: 'resource', port: 9444, handle });
