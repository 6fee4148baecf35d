"""Authorization servers in Python, each under a path of its own; the port is the first line of standard output.

/authlib    Authlib with RFC 8705, which it lacks: a client authentication method of its own that reads the certificate's
            header, builds the path to client-ca.pem from the intermediates in the chain's header, and binds tokens.
/secrets    Authlib as it comes: it knows clients by their secrets.
/django     Django OAuth Toolkit as it comes, likewise.

CLIENT_SECRET is the secret of the client `payments`.
"""

import base64
import json
import os
import re
import tempfile
from datetime import datetime, timezone
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.serving import make_server

CLIENT_SECRET = os.environ["CLIENT_SECRET"]
PKI = "build/pki"


# What certbound writes, read by others' decoders: http_sf (RFC 9651), cryptography (X.509), the standard library.


def from_der(der):
    return x509.load_der_x509_certificate(der)


def from_base64(text):
    return from_der(base64.b64decode(text, validate=True))


def from_pem(text):
    return x509.load_pem_x509_certificates(text.encode())


def concatenated(ders):
    """Splits DER encodings that follow each other, by the length of each."""
    while ders:
        count = ders[1] & 0x7F if ders[1] & 0x80 else 0
        end = 2 + count + (int.from_bytes(ders[2 : 2 + count], "big") if count else ders[1])
        yield from_der(ders[:end])
        ders = ders[end:]


def rfc9440(headers):
    import http_sf

    certificate, _ = http_sf.parse(headers["Client-Cert"].encode(), tltype="item")
    chain = http_sf.parse(headers.get("Client-Cert-Chain", "").encode(), tltype="list")
    return [from_der(certificate), *(from_der(member) for member, _ in chain)]


def urlencoded_pem(headers):
    return from_pem(unquote(headers["ssl-client-cert"])) + from_pem_if_any(unquote(headers.get("ssl-client-chain", "")))


def pem(headers):
    return from_pem(headers["ssl-client-cert"]) + from_pem_if_any(headers.get("ssl-client-chain", ""))


def numbered_pem(headers):
    chain = (headers.get(f"SSL-CLIENT-CERT-CHAIN-{number}", "") for number in range(4))
    return from_pem(headers["SSL-CLIENT-CERT"]) + [one for text in chain for one in from_pem_if_any(text)]


def from_pem_if_any(text):
    return from_pem(text) if text else []


def base64_der(headers):
    chain = base64.b64decode(headers.get("ssl-client-chain", ""), validate=True)
    return [from_base64(headers["ssl-client-cert"]), *concatenated(chain)]


def traefik(headers):
    return [from_base64(text) for text in headers["X-Forwarded-Tls-Client-Cert"].split(",")]


def xfcc(headers):
    value = headers["X-Forwarded-Client-Cert"]
    chain = re.search(r'(?:^|;)Chain="([^"]*)"', value) or re.search(r'(?:^|;)Cert="([^"]*)"', value)
    return from_pem(unquote(chain[1]))


READERS = {reader.__name__: reader for reader in (rfc9440, urlencoded_pem, pem, numbered_pem, base64_der, traefik, xfcc)}


def thumbprint(certificate):
    return base64.urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()


def has_path(certificate, intermediates):
    with open(f"{PKI}/client-ca.pem", "rb") as file:
        store = Store([x509.load_pem_x509_certificate(file.read())])
    # The library wants a subjectAltName, which RFC 5280 does not.
    policy = PolicyBuilder().store(store).time(datetime.now(timezone.utc)).extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
    )
    try:
        policy.build_client_verifier().verify(certificate, intermediates)
    except VerificationError:
        return False
    return True


# Authlib


def authlib_server(with_certificates):
    from authlib.integrations.flask_oauth2 import AuthorizationServer
    from authlib.oauth2.rfc6749 import ClientMixin, grants
    from authlib.oauth2.rfc7662 import IntrospectionEndpoint
    from flask import Flask, request

    with open(f"{PKI}/pki.json") as file:
        pki = json.load(file)

    class Client(ClientMixin):
        def __init__(self, client_id, method):
            self.client_id = client_id
            self.method = method

        def check_client_secret(self, secret):
            return self.method == "client_secret_basic" and secret == CLIENT_SECRET

        def check_endpoint_auth_method(self, method, endpoint):
            return method == self.method

        def check_grant_type(self, grant_type):
            return grant_type == "client_credentials"

        def get_allowed_scope(self, scope):
            return scope or ""

    class Token(dict):
        def check_client(self, client):
            return self["client_id"] == client.client_id

        def is_expired(self):
            return False

        def is_revoked(self):
            return False

    methods = {
        "payments": "tls_client_auth",
        "via-two-intermediates": "tls_client_auth",
        "partner-app": "self_signed_tls_client_auth",
    }
    clients = {
        client_id: Client(client_id, method if with_certificates else "client_secret_basic")
        for client_id, method in methods.items()
    }
    tokens = {}

    def presented():
        return READERS[request.headers["X-Form"]](request.headers)

    def save(token, oauth_request):
        confirmation = {"cnf": {"x5t#S256": thumbprint(presented()[0])}} if with_certificates else {}
        tokens[token["access_token"]] = Token(token, client_id=oauth_request.client.client_id, **confirmation)

    app = Flask(__name__)
    server = AuthorizationServer(app, query_client=clients.get, save_token=save)

    def tls_client_auth(query_client, oauth_request):
        client = query_client(oauth_request.payload.client_id)
        certificate, *intermediates = presented()
        subject = x509.load_pem_x509_certificate(pki[client.client_id]["certificate"].encode()).subject
        return client if certificate.subject == subject and has_path(certificate, intermediates) else None

    def self_signed_tls_client_auth(query_client, oauth_request):
        client = query_client(oauth_request.payload.client_id)
        return client if thumbprint(presented()[0]) == pki[client.client_id]["x5t#S256"] else None

    class ClientCredentialsGrant(grants.ClientCredentialsGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = [*{client.method for client in clients.values()}]

    class Introspection(IntrospectionEndpoint):
        CLIENT_AUTH_METHODS = ClientCredentialsGrant.TOKEN_ENDPOINT_AUTH_METHODS

        def query_token(self, token, token_type_hint):
            return tokens.get(token)

        def check_permission(self, token, client, oauth_request):
            return token.check_client(client)

        def introspect_token(self, token):
            return {"active": True, **token}

    server.register_client_auth_method("tls_client_auth", tls_client_auth)
    server.register_client_auth_method("self_signed_tls_client_auth", self_signed_tls_client_auth)
    server.register_grant(ClientCredentialsGrant)
    server.register_endpoint(Introspection)
    app.post("/token", endpoint="token")(server.create_token_response)
    app.post("/introspect", endpoint="introspect")(lambda: server.create_endpoint_response("introspection"))
    return app


# Django OAuth Toolkit


def django_server(database):
    import django
    from django.conf import settings

    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="for tests",
        USE_TZ=True,
    )
    django.setup()
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.urls import include, path
    from oauth2_provider.models import Application

    globals()["urlpatterns"] = [path("o/", include("oauth2_provider.urls", namespace="oauth2_provider"))]
    call_command("migrate", verbosity=0)
    Application.objects.create(
        name="payments",
        client_id="payments",
        client_secret=CLIENT_SECRET,
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )
    return get_wsgi_application()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        under_paths = {
            "/authlib": authlib_server(with_certificates=True),
            "/secrets": authlib_server(with_certificates=False),
            "/django": django_server(os.path.join(directory, "sqlite")),
        }
        # X-Forwarded-Proto is Envoy's word that the client came by TLS, which Authlib insists on.
        application = ProxyFix(DispatcherMiddleware(None, under_paths))
        http = make_server("127.0.0.1", 0, application)
        print(http.server_port, flush=True)
        http.serve_forever()
