// The gate of an origin server behind certbound: a client certificate that arrives in the `Client-Cert` header
// (RFC 9440) is believed only if certbound's HTTP message signature (RFC 9421) over it verifies, and only once.
//
// Use it as a sample: everything a server in another language must check is a numbered line of `admit` below.

import { createHash, timingSafeEqual, X509Certificate } from 'node:crypto';
import { httpbis, createVerifier } from 'http-message-signatures';
import { parseDictionary, parseItem, serializeDictionary } from 'structured-headers';

const LABEL = 'certbound';
const REQUIRED_COMPONENTS = ['client-cert', '@method', '@authority', '@path', 'content-digest'];
const REQUIRED_PARAMETERS = ['created', 'expires', 'nonce', 'keyid', 'tag'];
const CLOCK_SKEW_SECONDS = 5;

/** Why a request that carries `Client-Cert` was refused. The message is for the log, never for the client. */
export class UntrustedCertificate extends Error {}

/**
 * @param keys            the signer's public Ed25519 keys: { keyid: KeyObject }
 * @param maxAgeSeconds   the oldest signature that is accepted
 * @returns admit(request, body): the verified client certificate of a Node request whose whole body was read, or
 *          undefined when none was sent; throws UntrustedCertificate
 */
export function createGate({ keys, maxAgeSeconds = 60 }) {
  const nonces = new NonceMemory(maxAgeSeconds + CLOCK_SKEW_SECONDS);

  return async function admit(request, body) {
    // 1. No certificate: nothing to verify, and the server treats the client as having none.
    if (request.headers['client-cert'] === undefined) return undefined;

    // 2. Only certbound's own label counts. Others may have signed the same request, and this library lets the last
    //    signature decide for all of them: it is shown exactly one.
    const { input, signature } = soleSignature(request.headers);
    const [components, parameters] = input;
    if (components.some(([, modifiers]) => modifiers.size > 0)) throw new UntrustedCertificate('a component is modified');
    if (parameters.get('tag') !== LABEL) throw new UntrustedCertificate('the tag is not certbound');

    // 3. The library takes @path from a parsed URL, in which dot segments are gone. The server routes by the raw path,
    //    so the two must be the same.
    const url = targetUrl(request);

    // 4. The signature itself, over all that must be covered, young enough. Only `true` is success: null means that no
    //    signature was checked at all.
    let verified;
    try {
      verified = await httpbis.verifyMessage(
        {
          keyLookup: async ({ keyid }) =>
            Object.hasOwn(keys, keyid)
              ? { id: keyid, algs: ['ed25519'], verify: createVerifier(keys[keyid], 'ed25519') }
              : null,
          requiredFields: REQUIRED_COMPONENTS,
          requiredParams: REQUIRED_PARAMETERS,
          maxAge: maxAgeSeconds,
          tolerance: CLOCK_SKEW_SECONDS,
        },
        {
          method: request.method,
          url,
          headers: {
            ...request.headers,
            signature: serializeDictionary(new Map([[LABEL, signature]])),
            'signature-input': serializeDictionary(new Map([[LABEL, input]])),
          },
        },
      );
    } catch (error) {
      throw new UntrustedCertificate(error.message);
    }
    if (verified !== true) throw new UntrustedCertificate(verified === null ? 'the key is unknown' : 'the signature is wrong');

    // 5. The signature covers the Content-Digest header; that the body has this digest is for us to check.
    if (!digestMatches(request.headers['content-digest'], body)) throw new UntrustedCertificate('the body was changed');

    // 6. A request that was captured and sent again has a nonce that was seen.
    if (!nonces.remember(parameters.get('nonce'))) throw new UntrustedCertificate('the request was replayed');

    return certificateFrom(request.headers['client-cert']);
  };
}

function soleSignature(headers) {
  try {
    const input = parseDictionary(headers['signature-input'] ?? '').get(LABEL);
    const signature = parseDictionary(headers.signature ?? '').get(LABEL);
    if (input && signature && Array.isArray(input[0])) return { input, signature };
  } catch {
    throw new UntrustedCertificate('the signature headers are unreadable');
  }
  throw new UntrustedCertificate(`there is no signature labelled ${LABEL}`);
}

function targetUrl(request) {
  const url = URL.canParse(`https://${request.headers.host}${request.url}`)
    ? new URL(`https://${request.headers.host}${request.url}`)
    : undefined;
  if (url?.pathname !== request.url.split('?', 1)[0]) throw new UntrustedCertificate('the path is not normalised');
  return url;
}

function digestMatches(header, body) {
  let digest;
  try {
    [digest] = parseDictionary(header).get('sha-256') ?? [];
  } catch {
    return false;
  }
  const actual = createHash('sha256').update(body).digest();
  return digest instanceof ArrayBuffer && digest.byteLength === actual.length && timingSafeEqual(Buffer.from(digest), actual);
}

// Node joins repeated headers with a comma, which is no longer an item: two certificates are refused here.
function certificateFrom(header) {
  let certificate, der;
  try {
    der = Buffer.from(parseItem(header)[0]);
    certificate = new X509Certificate(der);
  } catch {
    throw new UntrustedCertificate('the certificate is unreadable');
  }
  // X509Certificate ignores what follows the certificate.
  if (!certificate.raw.equals(der)) throw new UntrustedCertificate('bytes follow the certificate');
  return certificate;
}

/** Nonces of accepted signatures, kept for as long as their signatures could be accepted again. One process only:
 *  servers that run several instances share this memory, for example in Redis. */
class NonceMemory {
  #expiries = new Map();
  #keepMilliseconds;

  constructor(keepSeconds) {
    this.#keepMilliseconds = keepSeconds * 1000;
  }

  /** Whether the nonce is new; it is not afterwards. */
  remember(nonce) {
    const now = Date.now();
    for (const [known, expiry] of this.#expiries) {
      if (expiry > now) break; // insertion order is expiry order
      this.#expiries.delete(known);
    }
    if (this.#expiries.has(nonce)) return false;
    this.#expiries.set(nonce, now + this.#keepMilliseconds);
    return true;
  }
}
