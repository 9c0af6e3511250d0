"""TLS on the daemon's own sockets. The certificate can be renewed while connections are open."""

import contextlib
import datetime
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from whisperd.config.schema import Server
from whisperd.config.secret import readable
from whisperd.errors import ConfigError

CERTIFICATE: Final = "server.tls_certificate"
KEY: Final = "server.tls_key"

_SOON: Final = datetime.timedelta(days=14)
"""Those that are renewed by themselves are renewed earlier."""

_WITHOUT_TIMES: Final = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for."""
_REASONS: Final = {
    "NO_CERTIFICATE_OR_CRL_FOUND": "holds no certificate (PEM)",
    "EE_KEY_TOO_SMALL": "has a key that is too small to be safe",
    "CA_MD_TOO_WEAK": "is signed in a way that is too weak to be safe",
    "KEY_VALUES_MISMATCH": f"is not the key of the first certificate in {CERTIFICATE}",
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, tried out on each other."""

    context: ssl.SSLContext
    names: tuple[str, ...]
    """Hosts and addresses that it is for."""
    begins_at: datetime.datetime
    expires_at: datetime.datetime
    der: bytes
    """The certificate itself."""

    def ends_soon(self) -> bool:
        """Whether it is time for a new one, or past it."""
        return self.expires_at - datetime.datetime.now(datetime.UTC) < _SOON

    def __str__(self) -> str:
        return f"for {', '.join(self.names) or 'no host'} until {self.expires_at:%Y-%m-%d %H:%M} UTC"


def read(server: Server) -> Certificate | None:
    """What `server.tls_certificate` and `server.tls_key` hold; None where TLS is not configured.

    Raises ConfigError that says of which option the file is wrong, and what is.
    """
    if server.tls_certificate == "none" or server.tls_key == "none":
        return None
    certificate = readable(server.tls_certificate, CERTIFICATE)
    key = readable(server.tls_key, KEY)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        client.load_verify_locations(certificate)
    except ssl.SSLError as error:
        raise _wrong(CERTIFICATE, server.tls_certificate, error, "holds no certificate (PEM)") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except ssl.SSLError as error:
        option, path = (
            (CERTIFICATE, server.tls_certificate)
            if error.reason in ("EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")
            else (KEY, server.tls_key)
        )
        raise _wrong(option, path, error, "holds no private key (PEM)") from error
    except _Encrypted as error:
        raise ConfigError(f"{KEY}: the key in {server.tls_key} has a passphrase; take it off") from error
    try:
        return _tried(context, client)
    except ssl.SSLError as error:
        raise _wrong(CERTIFICATE, server.tls_certificate, error, "can't be a server's") from error


class Tls:
    """The certificate in force."""

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.context = certificate.context
        """For the sockets. It stays; each new connection is given the certificate of its time."""
        self.context.sni_callback = self._choose

    def renew(self, certificate: Certificate) -> bool:
        """Give it to connections from now on; False when it was in force already."""
        changed = certificate.der != self.certificate.der
        self.certificate = certificate
        return changed

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        connection.context = self.certificate.context


class _Encrypted(Exception):
    """The key has a passphrase."""


def _no_passphrase() -> str:
    """Without this, OpenSSL would ask for one on the terminal."""
    raise _Encrypted


def _wrong(option: str, path: Path, error: ssl.SSLError, otherwise: str) -> ConfigError:
    verification = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else ""
    reason = _REASONS.get(error.reason or "") or otherwise + (f": {verification}" if verification else "")
    return ConfigError(f"{option}: {path} {reason}")


def _tried(context: ssl.SSLContext, client: ssl.SSLContext) -> Certificate:
    """Shake hands with ourselves, in memory: the standard library tells of a certificate only once it has
    been verified. It is its own anchor here; who else trusts it is for others to say. Raises SSLError.
    """
    client.check_hostname = False
    client.verify_flags = ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_WITHOUT_TIMES)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server)
    theirs = context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (ours, theirs):
            _step(side)
    told: Mapping[str, Any] = ours.getpeercert() or {}
    return Certificate(
        context,
        tuple(name for _, name in told.get("subjectAltName", ())),
        _moment(told["notBefore"]),
        _moment(told["notAfter"]),
        ours.getpeercert(binary_form=True) or b"",
    )


def _step(side: ssl.SSLObject) -> None:
    with contextlib.suppress(ssl.SSLWantReadError):  # it is the other one's turn
        side.do_handshake()


def _moment(text: str) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(ssl.cert_time_to_seconds(text), datetime.UTC)
