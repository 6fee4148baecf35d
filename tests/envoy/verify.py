"""Verifies signatures with Python libraries that are not ours: one JSON object a line in, one line of JSON out."""

import base64
import datetime
import json
import sys
from types import SimpleNamespace

import http_message_signatures as hms
import jwt

ALGORITHMS = {
    "ecdsa-p256-sha256": (hms.algorithms.ECDSA_P256_SHA256, "ES256"),
    "ed25519": (hms.algorithms.ED25519, "EdDSA"),
    "hmac-sha256": (hms.algorithms.HMAC_SHA256, "HS256"),
}


class FieldLines(list):
    """Header fields, each line on its own, as the library wants to iterate over them."""

    def items(self):
        return iter(self)


def http_message_signature(kid, key, algorithm, request):
    verifier = hms.HTTPMessageVerifier(
        signature_algorithm=algorithm,
        key_resolver=hms.MappingKeyResolver(public_keys={kid: key}, private_keys={}),
    )
    message = SimpleNamespace(
        method=request["method"],
        url=request["url"],
        headers=FieldLines(tuple(line) for line in request["lines"]),
    )
    verifier.verify(
        message,
        max_age=datetime.timedelta(minutes=1),
        expect_tag="certbound",
        expect_label=request["label"],
        require_components=request["components"],
        body=base64.b64decode(request["body"]),
    )
    return True


def jws(key, algorithm, request):
    return jwt.decode(
        request["jws"],
        key,
        algorithms=[algorithm],
        issuer=request["issuer"],
        audience=request["audience"],
        options={"require": ["iss", "aud", "iat", "exp", "jti", "cnf"]},
    )


def answer(request):
    message_algorithm, jws_algorithm = ALGORITHMS[request["alg"]]
    key = request["key"].encode()
    if request["alg"] == "hmac-sha256":
        key = base64.b64decode(key)
    if "jws" in request:
        return jws(key, jws_algorithm, request)
    return http_message_signature(request["kid"], key, message_algorithm, request)


for line in sys.stdin:
    try:
        result = answer(json.loads(line))
    except (hms.HTTPMessageSignaturesException, jwt.PyJWTError) as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result), flush=True)
