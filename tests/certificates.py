"""Certificates as a private authority gives them out, made by the openssl command."""

import datetime
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Final

import pytest

NAMES: Final = "DNS:localhost,IP:127.0.0.1"
_CURVE: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    """A certificate authority that nobody knows but those who are given its certificate."""

    def __init__(self, directory: Path) -> None:
        """Skips the test where openssl is not installed."""
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.certificate = directory / "ca.pem"
        self._key = directory / "ca.key"
        subject = ("-subj", "/CN=An authority of the tests")
        _openssl(
            "req", "-x509", *_CURVE, "-keyout", self._key, "-out", self.certificate, "-days", "2", *subject
        )

    def issue(
        self,
        name: str,
        *,
        expires_in: datetime.timedelta = datetime.timedelta(days=90),
        names: str = NAMES,
        usage: str = "serverAuth",
    ) -> tuple[Path, Path]:
        """A certificate and its key, `NAME.pem` and `NAME.key`; days are whole ones."""
        certificate, key, request, extensions = (
            self.directory / f"{name}{suffix}" for suffix in (".pem", ".key", ".csr", ".ext")
        )
        extensions.write_text(
            f"subjectAltName={names}\nextendedKeyUsage={usage}\nbasicConstraints=CA:false\n"
        )
        _openssl("req", "-new", *_CURVE, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signer = ("-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial")
        days = ("-days", str(expires_in.days))
        _openssl("x509", "-req", "-in", request, *signer, *days, "-extfile", extensions, "-out", certificate)
        return certificate, key


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """For a server that has them."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def with_passphrase(key: Path) -> Path:
    """The same key, encrypted."""
    encrypted = key.with_suffix(".encrypted")
    _openssl("ec", "-aes128", "-passout", "pass:secret", "-in", key, "-out", encrypted)
    return encrypted


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
