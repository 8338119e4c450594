"""The key that signs exported media: one's own, or one made on first use that only this machine vouches for.

`AU_BENCH_C2PA_CERT` and `AU_BENCH_C2PA_KEY` name PEM files of one's own: the chain, the signer's certificate first, and its
private key without a passphrase. Without them a signer and the root that issued it (ECDSA P-256, the profile of C2PA 2.2
section 14.5: digital signature only, e-mail protection, ten years) are written to the cache; the root's key is thrown away,
so that nothing else can be issued in its name. Such a certificate shows that a file is unchanged since it was signed, not who
signed it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.cache import cache_dir
from bench.media.errors import MissingPrerequisite, UserError

CERTIFICATE, KEY = "AU_BENCH_C2PA_CERT", "AU_BENCH_C2PA_KEY"
YEARS = 10
INSTALL = "pip install -e '.[report]'"


@dataclass(frozen=True)
class Signer:
    """A certificate chain and its private key."""

    chain: str
    """PEM, the signer's certificate first."""
    key: str
    """PEM, PKCS 8."""
    algorithm: str
    """Name in C2PA: es256, es384, es512, ps256 or ed25519."""


def signer() -> Signer:
    """The user's own signer, or this machine's, which is made on first use.

    Raises:
        UserError: only one of the two variables is set, or a file of theirs cannot be used.
        MissingPrerequisite: the packages are not installed.
    """
    given = [os.environ.get(CERTIFICATE), os.environ.get(KEY)]
    if any(given) and not all(given):
        raise UserError(f"set both {CERTIFICATE} and {KEY} to PEM files, or neither to sign with a key of this machine")
    if all(given):
        return _read(*map(Path, given))
    folder = _local_folder()
    if not folder.exists():
        _write_local(folder)
    return _read(folder / "chain.pem", folder / "key.pem")


def known_certificates() -> str | None:
    """PEM of the certificates this machine vouches for: the user's own chain, or the one made here; None before either."""
    given = os.environ.get(CERTIFICATE)
    path = Path(given) if given else _local_folder() / "chain.pem"
    if given and not path.is_file():
        raise UserError(f"{CERTIFICATE}: no file {path}")
    return path.read_text("utf-8") if path.is_file() else None


def _local_folder() -> Path:
    return cache_dir() / "credentials"


def _read(chain: Path, key: Path) -> Signer:
    try:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError as error:
        raise MissingPrerequisite(f"signing needs cryptography: {INSTALL}") from error
    try:
        private = load_pem_private_key(key.read_bytes(), None)
        return Signer(chain.read_text("utf-8"), key.read_text("utf-8"), _algorithm(private))
    except (OSError, TypeError, ValueError) as error:
        raise UserError(
            f"{chain} and {key} cannot sign ({error}); {CERTIFICATE} is a PEM chain, {KEY} its key in PEM without passphrase"
        ) from error


def _algorithm(key) -> str:
    """C2PA's name for what a private key signs with."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    raise ValueError("the key is none of P-256, P-384, P-521, RSA, Ed25519")


_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


def _write_local(folder: Path) -> None:
    """Make a root and a signer, whole or not at all; another process may do the same at the same time, the first one wins."""
    chain, key = _make()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".credentials.", dir=folder.parent))
    try:
        (temporary / "chain.pem").write_bytes(chain)
        (temporary / "key.pem").touch(mode=0o600)
        (temporary / "key.pem").write_bytes(key)
        temporary.rename(folder)
    except OSError as error:
        if not folder.exists():
            raise UserError(
                f"{folder} cannot be written ({error.strerror}); set AU_BENCH_CACHE to a folder that can"
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _make() -> tuple[bytes, bytes]:
    """PEM of a chain (signer, root) and of the signer's key."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives import serialization as form
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise MissingPrerequisite(f"signing needs cryptography: {INSTALL}") from error
    from cryptography.x509.oid import ExtendedKeyUsageOID

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = _name("root made on this machine")

    def begin(subject: x509.Name, public) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder(issuer_name=root_name, subject_name=subject, public_key=public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365 * YEARS))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        )

    root = begin(root_name, root_key.public_key()).add_extension(x509.BasicConstraints(True, 0), critical=True)
    root = root.add_extension(_usage(issues=True), critical=True).sign(root_key, hashes.SHA256())
    leaf = begin(_name("signer made on this machine"), key.public_key())
    leaf = leaf.add_extension(x509.BasicConstraints(False, None), critical=True)
    leaf = leaf.add_extension(_usage(issues=False), critical=True)
    leaf = leaf.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
    leaf = leaf.sign(root_key, hashes.SHA256())
    chain = leaf.public_bytes(form.Encoding.PEM) + root.public_bytes(form.Encoding.PEM)
    return chain, key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())


def _name(common: str):
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "au-talking-head-bench, self-signed")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(issues: bool):
    """KeyUsage of a root (signs certificates) or of a signer (signs data)."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not issues, key_cert_sign=issues, crl_sign=issues, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
