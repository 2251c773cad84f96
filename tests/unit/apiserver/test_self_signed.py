"""The certificate of our own making: when it is renewed, and who still believes what."""

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from nicplug.apiserver.key_pairs import KeyPair, serving_context
from nicplug.apiserver.self_signed import AUTHORITY_LIFE, AUTHORITY_RENEWAL, CERTIFICATE_LIFE, due, issue

NAMES = ("nicplug-api.nicplug-system.svc",)
NOW = datetime(2030, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def _leaf(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def test_a_new_certificate_is_good_and_verifies_by_its_name() -> None:
    made = issue(names=NAMES, now=datetime.now(UTC))
    assert due(made, names=NAMES, now=datetime.now(UTC)) == ""
    served, client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving_context(made.pair, None).wrap_bio(client, served, server_side=True)
    trusting = ssl.create_default_context(cadata=made.authorities.decode())
    asking = trusting.wrap_bio(served, client, server_hostname=NAMES[0])
    for _ in range(4):
        for side in (asking, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert asking.getpeercert()
    assert asking.version() == "TLSv1.3"


@pytest.mark.parametrize(
    ("age", "why"),
    [(59 * DAY, ""), (61 * DAY, "expires soon"), (91 * DAY, "expires soon")],
)
def test_a_certificate_is_renewed_before_it_expires(age: timedelta, why: str) -> None:
    found = due(issue(names=NAMES, now=NOW), names=NAMES, now=NOW + age)
    assert why in found
    assert bool(found) == bool(why)


def test_a_renewed_certificate_is_of_the_same_ca() -> None:
    first = issue(names=NAMES, now=NOW)
    second = issue(names=NAMES, now=NOW + 61 * DAY, previous=first)
    assert second.authorities == first.authorities
    assert _leaf(second.pair).not_valid_after_utc == NOW + 61 * DAY + CERTIFICATE_LIFE
    assert _leaf(second.pair).public_key() != _leaf(first.pair).public_key()


def test_a_new_ca_stands_beside_the_old_one_which_is_still_served_with() -> None:
    first = issue(names=NAMES, now=NOW)
    later = NOW + AUTHORITY_LIFE - AUTHORITY_RENEWAL + DAY
    assert due(issue(names=NAMES, now=later - DAY, previous=first), names=NAMES, now=later) == "its CA expires soon"
    second = issue(names=NAMES, now=later, previous=first)
    assert second.authorities != first.authorities
    assert second.authorities.endswith(first.authorities)
    assert due(second, names=NAMES, now=later) == ""
    third = issue(names=NAMES, now=later + AUTHORITY_LIFE - AUTHORITY_RENEWAL + DAY, previous=second)
    assert len(x509.load_pem_x509_certificates(third.authorities)) == 2, "the bundle does not grow"


def test_no_certificate_outlives_its_ca() -> None:
    first = issue(names=NAMES, now=NOW)
    last = issue(names=NAMES, now=NOW + AUTHORITY_LIFE - AUTHORITY_RENEWAL, previous=first)
    [authority] = x509.load_pem_x509_certificates(last.authorities)
    assert _leaf(last.pair).not_valid_after_utc < authority.not_valid_after_utc


def test_another_name_needs_another_certificate() -> None:
    assert due(issue(names=NAMES, now=NOW), names=("other.svc",), now=NOW) == "the names have changed"


def test_what_does_not_belong_together_is_replaced() -> None:
    first, second = issue(names=NAMES, now=NOW), issue(names=NAMES, now=NOW)
    assert "not the CA's" in due(replace(first, pair=second.pair), names=NAMES, now=NOW)
    mixed = KeyPair(certificate=first.pair.certificate, key=second.pair.key)
    assert due(replace(first, pair=mixed), names=NAMES, now=NOW) == "it cannot be read"
    assert due(replace(first, authorities=b"no"), names=NAMES, now=NOW) == "it cannot be read"


def test_a_ca_that_cannot_be_read_is_replaced() -> None:
    first = issue(names=NAMES, now=NOW)
    for broken in (replace(first, authorities=b"no"), replace(first, authority_key=b"no")):
        made = issue(names=NAMES, now=NOW, previous=broken)
        assert due(made, names=NAMES, now=NOW) == ""
        assert not made.authorities.startswith(first.authorities)


def test_the_key_of_another_ca_does_not_sign() -> None:
    first, second = issue(names=NAMES, now=NOW), issue(names=NAMES, now=NOW)
    made = issue(names=NAMES, now=NOW, previous=replace(first, authority_key=second.authority_key))
    assert due(made, names=NAMES, now=NOW) == ""
