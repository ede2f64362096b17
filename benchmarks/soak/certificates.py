"""The certificate of a soak's server, which is renewed now and then, and whether clients are shown one that holds.

Certificates are numbered from 1, and the number is in the name. The newest that is in place, certificate and key, is in
a file that all processes share: a client may be shown this one, or a newer one that is just being put there.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID
from tests.harness.item_store import ItemStore
from tests.harness.tls import make_certificate

HOST = "localhost"
_NUMBER = "number"


class Certificates:
    """Those of one run.

    Attributes:
        seen: how often clients of this process were shown each.
    """

    def __init__(self, directory: Path) -> None:
        self.seen: Counter[int] = Counter()
        self._directory = directory / "runner" / "certs"
        self._numbers = ItemStore(directory / "certificates", [_NUMBER])

    @property
    def newest(self) -> int:
        """Number of the newest that is in place; 0 before the first."""
        return self._numbers.last(_NUMBER)

    def renew(self) -> None:
        """Put the next one in place, file by file: as new files, or every other time by writing into the old ones."""
        number = self.newest + 1
        certificate = make_certificate(f"number{number}", HOST)
        self._directory.mkdir(parents=True, exist_ok=True)
        if number % 2:
            certificate.write(self._directory, HOST)
        else:
            (self._directory / f"{HOST}.crt").write_bytes(certificate.crt)
            (self._directory / f"{HOST}.key").write_bytes(certificate.key)
        self._numbers.add(_NUMBER, number)

    def see(self, shown: bytes | None, newest_before: int) -> None:
        """A client was shown a certificate (DER). Raises AssertionError for one that was replaced before it came.

        Args:
            newest_before: the newest when the client began its handshake.
        """
        assert shown is not None, "no certificate"
        (name,) = x509.load_der_x509_certificate(shown).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        number = int(str(name.value).removeprefix("number"))
        self.seen[number] += 1
        assert number >= newest_before, f"certificate {number} was shown, {newest_before} had replaced it"
