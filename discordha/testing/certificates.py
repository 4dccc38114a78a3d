"""A throw-away certificate authority for mutual TLS on loopback.

Guarantees: a file that a server reads during a rotation is whole, since new files are written aside and then
renamed. For tests only: the keys lie unencrypted in a temporary folder.

Threads and locks: none; one thread drives.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, Name, SubjectKeyIdentifier

__all__ = ["Certificates"]


class Certificates:
    """The files of a CA, a server certificate and a client certificate in ``directory``.

    :ivar ca_cert, server_cert, server_key, client_cert, client_key: paths of PEM files.
    """

    def __init__(self, directory: Path) -> None:
        self.ca_cert = directory / "ca.pem"
        self.server_cert, self.server_key = directory / "server.pem", directory / "server-key.pem"
        self.client_cert, self.client_key = directory / "client.pem", directory / "client-key.pem"
        self._authority: Certificate
        self._authority_key: EllipticCurvePrivateKey
        self.rotate(authority=True)

    def rotate(self, *, authority: bool = False, days: float = 30.0) -> None:
        """Writes a new server and a new client certificate.

        etcd reads its certificate at each handshake, its CA only at its start.

        :param authority: also replaces the CA; the old one is lost.
        :param days: validity of the certificates; negative for expired ones.
        """
        if authority:
            self._new_authority()
        self._issue("server", self.server_cert, self.server_key, days)
        self._issue("client", self.client_cert, self.client_key, days)

    def _new_authority(self) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        self._authority_key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"discordha test CA {os.urandom(4).hex()}")
        now = datetime.datetime.now(datetime.UTC)
        key_usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        self._authority = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._authority_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage, critical=True)
            .add_extension(self._identifier(), critical=False)
            .sign(self._authority_key, hashes.SHA256())
        )
        _replace(self.ca_cert, self._authority.public_bytes(serialization.Encoding.PEM))

    def _identifier(self) -> SubjectKeyIdentifier:
        """The name of the authority's key; Python 3.13 refuses certificates without one."""
        from cryptography import x509

        return x509.SubjectKeyIdentifier.from_public_key(self._authority_key.public_key())

    def _issue(self, who: str, cert_path: Path, key_path: Path, days: float) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID

        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        # The server's certificate is a client's, too: etcd's HTTP gateway calls its gRPC port with it.
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if who == "server":
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(f"discordha-test-{who}"))
            .issuer_name(self._authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=max(1.0, 1.0 - days)))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._identifier()),
                critical=False,
            )
            .sign(self._authority_key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _replace(key_path, private)
        _replace(cert_path, certificate.public_bytes(serialization.Encoding.PEM))


def _name(organization: str) -> Name:
    """A name without a common name, which etcd would take for a user and refuse over its HTTP gateway."""
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.oid.NameOID.ORGANIZATION_NAME, organization)])


def _replace(path: Path, content: bytes) -> None:
    aside = path.with_suffix(".new")
    aside.touch(mode=0o600)
    aside.write_bytes(content)
    aside.replace(path)
