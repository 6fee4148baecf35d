"""Verifies that certbound signed a request (RFC 9421), and hands out the client's certificate only then.

Python 3.9 or newer. Python's own library has HMAC only: Ed25519 and ECDSA need `pip install cryptography`.
The numbered checks are the same in every language here; docs/verifying.md says why.
"""
import base64, hashlib, hmac, re, sys, time

LABEL = "certbound"
TAG = re.compile(r';\s*tag="certbound"')
REQUIRED = ["client-cert", "@method", "@authority", "@path", "content-digest"]
LEEWAY = 5  # seconds by which the clocks may differ
INPUT = re.compile(r'=(\(("[^"\\]+"(?: "[^"\\]+"){0,31})\)((?:;[a-z]+=(?:[0-9]{1,15}|"[^"\\]*")){0,15}))')
BYTES = re.compile(r":([A-Za-z0-9+/]+={0,2}):")


class Refused(Exception):
    """Why a request is not believed. For the log, never for the client."""


def check(value, reason):
    if not value:
        raise Refused(reason)
    return value


def read_key(text):
    """(algorithm, function) of a public key as PEM, or of an HMAC secret in base64. Never the request decides."""
    if "-----BEGIN" not in text:
        secret = base64.b64decode(text.strip(), validate=True)
        check(len(secret) >= 32, "the secret is too short")
        check(secret[0] != 0x30 or secret[1] != len(secret) - 2, "a public key without its PEM armour is no secret")
        return "hmac-sha256", lambda data, sig: hmac.compare_digest(hmac.digest(secret, data, "sha256"), sig)
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
    from cryptography.hazmat.primitives import hashes, serialization
    key = serialization.load_pem_public_key(text.encode())
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519", lambda data, sig: key.verify(sig, data) is None
    check(isinstance(key.curve, ec.SECP256R1), "not a key that certbound signs with")

    def verify_p256(data, sig):  # r and s, 32 bytes each
        check(len(sig) == 64, "the signature is wrong")
        der = utils.encode_dss_signature(int.from_bytes(sig[:32], "big"), int.from_bytes(sig[32:], "big"))
        return key.verify(der, data, ec.ECDSA(hashes.SHA256())) is None
    return "ecdsa-p256-sha256", verify_p256


class Verifier:
    def __init__(self, keys, now=time.time):
        """keys: {keyid: read_key(...)}"""
        self.keys, self.now = keys, now
        self.nonces = {}  # of this process; servers that run several share them

    def verify(self, method, authority, target, headers, body):
        """The certificate's DER, or Refused. headers: list of (name, value); body: bytes."""
        def values(name):
            return [value.strip() for field, value in headers if field.lower() == name]

        def sole(name):
            found = values(name)
            check(len(found) == 1 and re.fullmatch(r"[\t -~]*", found[0]), f"not exactly one {name}")
            return found[0]

        # 1. Exactly one member has our label, in both headers, and none of the others our tag.
        def our_member(name):
            everyone = members(",".join(values(name)))
            ours = [member for member in everyone if re.match(r"certbound(?![a-z0-9_.*-])", member)]
            others = [member for member in everyone if member not in ours]
            check(len(ours) == 1 and not any(map(TAG.search, others)), f"not exactly one {LABEL} in {name}")
            return ours[0][len(LABEL):]
        found = check(INPUT.fullmatch(our_member("signature-input")), "the signature is malformed")
        signature = check(BYTES.fullmatch(our_member("signature")[1:]), "the signature is malformed")
        params, covered = found[1], found[2][1:-1].split('" "')
        pairs = re.findall(r';([a-z]+)=([0-9]+|"[^"]*")', found[3])
        given = dict(pairs)
        check(len(given) == len(pairs), "a parameter is there twice")
        # 2. It is ours, of now, by a key that we know, with that key's algorithm.
        now, created, expires = self.now(), given.get("created", ""), given.get("expires", "")
        check(given.get("tag") == '"certbound"', "the tag is another")
        check(created.isdigit() and int(created) <= now + LEEWAY, "created is not in the past")
        check(expires.isdigit() and int(created) < int(expires) >= now - LEEWAY, "expired")
        algorithm, verifies = check(self.keys.get(given.get("keyid", "").strip('"')), "the key is unknown")
        check(given.get("alg") == f'"{algorithm}"', "the algorithm is not the key's")
        # 3. It covers all that it must, and every certificate that is there.
        check(len(set(covered)) == len(covered), "a component is covered twice")
        for name in REQUIRED + ["client-cert-chain"] * bool(values("client-cert-chain")):
            check(name in covered, f"{name} is not covered")
        # 4. The signature is right.
        path, _, query = target.partition("?")
        derived = {"@method": method, "@authority": re.sub(r":443\Z", "", authority.lower()),
                   "@path": path or "/", "@query": "?" + query}
        lines = [f'"{name}": {derived[name] if name in derived else sole(name)}\n' for name in covered]
        base = "".join(lines) + f'"@signature-params": {params}'
        try:
            right = verifies(base.encode(), base64.b64decode(signature[1], validate=True))
        except Exception:  # what cryptography raises for a wrong signature
            right = False
        check(right, "the signature is wrong")
        # 5. The body is the one that was signed.
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        check(sole("content-digest") == f"sha-256=:{digest}:", "the body was changed")
        # 6. Each nonce once.
        self.nonces = {nonce: until for nonce, until in self.nonces.items() if until >= now - LEEWAY}
        nonce = given.get("nonce", '""').strip('"')
        check(nonce and nonce not in self.nonces, "the nonce is missing or was used")
        self.nonces[nonce] = int(expires)
        return base64.b64decode(check(BYTES.fullmatch(sole("client-cert")), "client-cert is malformed")[1], validate=True)


def members(text):
    """Splits a dictionary (RFC 9651) at the commas that are not within strings."""
    everyone, start, quoted, escaped = [], 0, False, False
    for at, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == '"':
            quoted = not quoted
        elif character == "\\" and quoted:
            escaped = True
        elif character == "," and not quoted:
            everyone.append(text[start:at].strip())
            start = at + 1
    check(not quoted, "a dictionary is malformed")
    return everyone + [text[start:].strip()]


def main(keyid, key_file, *files):
    """python3 verify.py KEYID KEYFILE [REQUEST...], requests as raw HTTP/1.1, else one on the standard input."""
    verifier, failed = Verifier({keyid: read_key(open(key_file).read())}), False
    for file in files or ["/dev/stdin"]:
        head, _, body = open(file, "rb").read().partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = [tuple(field.split(":", 1)) for field in fields]
        hosts = [value.strip() for name, value in headers if name.lower() == "host"]
        try:
            check(len(hosts) == 1, "not exactly one host")
            der = verifier.verify(*[line.split(" ")[0], hosts[0], line.split(" ")[1]], headers, body)
            print("verified", base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("="))
        except Refused as reason:
            print("refused:", reason)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
