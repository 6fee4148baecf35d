// Who a request is from, read in every way that some server reads it. certbound may let a certificate through only where all
// of them agree.
import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync } from 'node:zlib';

/** The value of a thing that may not be there to read. */
function attempt(read) {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Header and trailer fields (lighttpd 1.4.80 merged them) under the name that CGI gives them (RFC 3875 section 4.1.18). */
const cgiFields = ({ headers, trailers }, wanted) =>
  [...headers, ...trailers].filter(([name]) => name.replaceAll(/[^a-z0-9]/g, '-') === wanted).map(([, value]) => value);

/** As URLSearchParams and most: the first is found by `at(0)`, the last by `at(-1)`. */
const plainPairs = (text) => [...new URLSearchParams(text)];

/** As Python before 3.9.2, Perl's CGI.pm and the HTML 4 recommendation: `;` separates as well. */
const semicolonPairs = (text) => plainPairs(text.replaceAll(';', '&'));

/** As parsers that do not insist on valid escapes: `%u0061`, overlong UTF-8, and text that ends at a NUL. */
const lenientPairs = (text) => text.split('&').map((pair) => {
  const decode = (part = '') => part
    .replaceAll('+', ' ')
    .replaceAll(/%u([0-9a-f]{4})/gi, (_, digits) => String.fromCharCode(parseInt(digits, 16)))
    .replaceAll(/%c([01])%([89ab][0-9a-f])/gi, (_, high, low) => String.fromCharCode(parseInt(high, 16) * 64 + (parseInt(low, 16) & 63)))
    .replaceAll(/%([0-9a-f]{2})/gi, (_, digits) => String.fromCharCode(parseInt(digits, 16)))
    .replace(/^\ufeff|^\u00ef\u00bb\u00bf/, '')
    .split('\0')[0];
  const [name, value] = pair.split(/=(.*)/s);
  return [decode(name), decode(value)];
});

/** Names as PHP files them: no leading space, the rest folded, cut at a bracket. */
const phpName = (name) => name.replace(/^ +/, '').replace(/(.)\[.*\].*$/s, '$1').replaceAll(/[ .[]/g, '_').split('\0')[0];

/** Names as Rack and qs file them. */
const nestedName = (name) => name.replace(/(.)\[.*$/s, '$1');

/** Names as ASP.NET files them, and as white space around them is trimmed. */
const caselessName = (name) => name.trim().toLowerCase().replaceAll('-', '_');

const parsers = { plain: plainPairs, 'by semicolons': semicolonPairs, lenient: lenientPairs };
const namings = { exact: (name) => name, PHP: phpName, nested: nestedName, caseless: caselessName };

/** Every value of a parameter that some way of parsing a text finds in it: [which, value]. */
function parameterReadings(text, parameter) {
  return Object.entries(parsers).flatMap(([parser, pairsOf]) => {
    const pairs = pairsOf(text);
    return Object.entries(namings).flatMap(([naming, nameOf]) => {
      const values = pairs.filter(([name]) => nameOf(name) === parameter).map(([, value]) => value);
      const which = `${parser}, ${naming} name`;
      if (values.length < 2) return values.map((value) => [which, value]);
      return [[`first, ${which}`, values[0]], [`last, ${which}`, values.at(-1)], [`joined, ${which}`, values.join(',')]];
    });
  });
}

/** The body as servers that honour the charset or a content coding see it: [which, text]. */
function bodyTexts({ body, ...request }) {
  const charsets = cgiFields(request, 'content-type').flatMap((value) => value.match(/charset="?([\w-]+)/gi) ?? [])
    .map((parameter) => parameter.split('=')[1].replace('"', ''));
  const isCoded = cgiFields(request, 'content-encoding').length > 0;
  const decompressed = isCoded ? [gunzipSync, inflateSync, inflateRawSync, brotliDecompressSync].map((read) => attempt(() => read(body).toString())) : [];
  return [
    ['body', body.toString()],
    ...charsets.map((charset) => [`body in ${charset}`, attempt(() => new TextDecoder(charset).decode(body))]),
    ...decompressed.map((text) => ['decompressed body', text]),
  ].filter(([, text]) => text !== undefined);
}

/** Parts of a multipart body and members of a JSON one, where some field that may be read as Content-Type says that it is. */
function structuredReadings(received, text, parameter) {
  const isSaid = (type) => cgiFields(received, 'content-type').some((value) => value.includes(type));
  const parts = !isSaid('multipart') ? [] : [...text.matchAll(/name="?([^"\r\n;]+)"?[^]*?\r?\n\r?\n([^]*?)\r?\n--/g)].filter(([, name]) => phpName(name) === parameter);
  const document = isSaid('json') ? attempt(() => JSON.parse(text)) : undefined;
  return [
    ...parts.map(([, , value]) => ['multipart', value]),
    ...[document, document?.[0]].map((object) => ['JSON', object?.[parameter]]).filter(([, value]) => value !== undefined),
  ];
}

/** A parameter in query, body and cookies: PHP's $_REQUEST and servlets' getParameter do not tell them apart. */
function everyParameter(received, parameter) {
  const query = received.path.split(/\?(.*)/s)[1] ?? '';
  const cookies = cgiFields(received, 'cookie').join(';').split(/; */).join('&');
  return [
    ...bodyTexts(received).flatMap(([where, text]) =>
      [...parameterReadings(text, parameter), ...structuredReadings(received, text, parameter)].map(([which, value]) => [`${where}, ${which}`, value])),
    ...parameterReadings(query, parameter).map(([which, value]) => [`query, ${which}`, value]),
    ...parameterReadings(cookies, parameter).map(([which, value]) => [`cookie, ${which}`, value]),
  ];
}

/** The user of HTTP Basic, wherever some server starts to read the credentials. */
function basicReadings(received) {
  const values = cgiFields(received, 'authorization');
  const credentials = [...values, values.join(', '), ...values.flatMap((value) => value.split(','))].flatMap((value) => [
    ['one space', /^Basic (.*)$/.exec(value)?.[1]],
    ['any case and space', /^\s*Basic\s+(.*)$/i.exec(value)?.[1]],
    // PHP libraries look at the first five characters and skip a sixth.
    ['prefix', /^Basic/i.test(value) ? value.slice(6) : undefined],
  ]).filter(([, text]) => text);
  return credentials.flatMap(([which, text]) => {
    const [user, ...password] = Buffer.from(text, 'base64').toString().split(':');
    if (password.length === 0) return [];
    return [
      [`Basic, ${which}`, user],
      [`Basic, ${which}, form-decoded`, attempt(() => decodeURIComponent(user.replaceAll('+', ' ')))],
      [`Basic, ${which}, percent-decoded`, attempt(() => decodeURIComponent(user))],
    ];
  }).filter(([, user]) => user !== undefined);
}

/** Every access token that some server may find in a request (RFC 6750 section 2), and the one that its client says it sent. */
export const accessTokens = (received) => [
  ...cgiFields(received, 'authorization').flatMap((value) => [...value.matchAll(/(?:bearer|dpop)\s+([^\s,]+)/gi)].map(([, token]) => token)),
  ...parameterReadings(received.path.split(/\?(.*)/s)[1] ?? '', 'access_token').map(([, token]) => token),
  ...(cgiFields(received, 'content-type').some((type) => /form-urlencoded/i.test(type)) ? bodyTexts(received) : [])
    .flatMap(([, text]) => parameterReadings(text, 'access_token')).map(([, token]) => token),
  ...cgiFields(received, 'x-sent-token'),
];

/** Whether some server may find a segment in a path, however it reads escapes, case, parameters, slashes and dots. */
export function mayName(path, segment) {
  let text = path.split('?')[0];
  for (let before; before !== text;) {
    before = text;
    text = text.replaceAll(/%([0-9a-f]{2})/gi, (_, digits) => String.fromCharCode(parseInt(digits, 16)));
  }
  return text.toLowerCase().split(/[/\\;]/).includes(segment);
}

const assertionReadings = (received) => everyParameter(received, 'client_assertion').flatMap(([where, assertion]) => {
  const claims = attempt(() => JSON.parse(Buffer.from(String(assertion).split('.')[1], 'base64url').toString())) ?? {};
  return Object.entries(claims).filter(([name]) => ['sub', 'iss', 'client_id'].includes(name.toLowerCase()))
    .map(([name, value]) => [`${name} of client_assertion, ${where}`, value]);
});

/** Symfony and bshaffer/oauth2-server-php take these fields for what PHP itself found in Authorization. */
const phpAuthUser = (received) => cgiFields(received, 'php-auth-user').map((value) => ['PHP_AUTH_USER', value]);

/** Every reading of a request: [{ reading, clientId }]. None: nobody finds a client in it. */
export const readings = (received) => [
  ...everyParameter(received, 'client_id'),
  ...basicReadings(received),
  ...assertionReadings(received),
  ...phpAuthUser(received),
].map(([reading, clientId]) => ({ reading, clientId }));
