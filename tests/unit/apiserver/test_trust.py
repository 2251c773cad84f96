"""The front proxy's description, and the user in the headers."""

import json

import pytest
from multidict import CIMultiDict
from tests.unit.apiserver.played import PROXY, trust_data

from nicplug.apiserver.calls import Caller
from nicplug.apiserver.trust import UnusableTrust, caller_of, parse_trust, refuse_certificate

PEM = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"
TRUST = parse_trust(trust_data(PEM))
NOW = 1_700_000_000.0


def _certificate(*names: str, expires: str = "Jan  1 00:00:00 2090 GMT") -> dict[str, object]:
    return {"subject": tuple((("commonName", name),) for name in names), "notAfter": expires}


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("requestheader-client-ca-file", None),
        ("requestheader-client-ca-file", "no certificate"),
        ("requestheader-username-headers", "[]"),
        ("requestheader-username-headers", "X-Remote-User"),
        ("requestheader-allowed-names", '{"a": 1}'),
        ("requestheader-allowed-names", '["a", 1]'),
        ("requestheader-allowed-names", '[""]'),
        ("requestheader-allowed-names", 5),
    ],
)
def test_a_description_that_cannot_be_read_describes_nobody(member: str, value: object) -> None:
    with pytest.raises(UnusableTrust, match=member):
        parse_trust({**trust_data(PEM), member: value})


def test_older_api_servers_have_no_header_for_the_uid() -> None:
    data = trust_data(PEM)
    del data["requestheader-uid-headers"]
    headers = CIMultiDict({"X-Remote-User": "alice", "X-Remote-Uid": "u-1"})
    assert caller_of(parse_trust(data), headers) == Caller(name="alice")


def test_the_names_of_the_headers_are_those_of_the_description() -> None:
    data = {**trust_data(PEM), "requestheader-username-headers": json.dumps(["X-Other", "X-User"])}
    headers = CIMultiDict({"X-Remote-User": "mallory", "X-User": "alice"})
    assert caller_of(parse_trust(data), headers) == Caller(name="alice")


CONFIGURED = {
    "requestheader-username-headers": '["X-User"]',
    "requestheader-group-headers": '["X-Group"]',
    "requestheader-extra-headers-prefix": '["X-Extra-"]',
    "requestheader-uid-headers": '["X-Uid"]',
}
"""Only these headers are removed from a client's request; the usual ones pass as the client wrote them."""
FORGED = {
    "X-Remote-User": "mallory",
    "X-Remote-Group": "system:masters",
    "X-Remote-Extra-Scopes": "all",
    "X-Remote-Uid": "u-0",
}


def test_a_group_in_a_header_that_is_not_configured_is_ignored() -> None:
    headers = CIMultiDict({"X-User": "alice", "X-Group": "dev", **FORGED})
    caller = caller_of(parse_trust({**trust_data(PEM), **CONFIGURED}), headers)
    assert caller is not None
    assert caller.groups == ("dev",)


def test_extra_values_under_a_prefix_that_is_not_configured_are_ignored() -> None:
    headers = CIMultiDict({"X-User": "alice", "X-Extra-Scopes": "few", **FORGED})
    caller = caller_of(parse_trust({**trust_data(PEM), **CONFIGURED}), headers)
    assert caller is not None
    assert caller.extra == (("scopes", ("few",)),)


def test_a_uid_in_a_header_that_is_not_configured_is_ignored() -> None:
    headers = CIMultiDict({"X-User": "alice", "X-Uid": "u-1", **FORGED})
    caller = caller_of(parse_trust({**trust_data(PEM), **CONFIGURED}), headers)
    assert caller is not None
    assert caller.uid == "u-1"


@pytest.mark.parametrize("headers", [FORGED, {"X-User": "", **FORGED}], ids=["none", "empty"])
def test_a_user_in_a_header_that_is_not_configured_is_ignored(headers: dict[str, str]) -> None:
    assert caller_of(parse_trust({**trust_data(PEM), **CONFIGURED}), CIMultiDict(headers)) is None


@pytest.mark.parametrize("member", ["requestheader-group-headers", "requestheader-extra-headers-prefix"])
def test_where_no_header_is_configured_the_usual_one_is_ignored(member: str) -> None:
    trust = parse_trust({**trust_data(PEM), **CONFIGURED, member: "[]"})
    assert caller_of(trust, CIMultiDict({"X-User": "a", **FORGED})) == Caller(name="a")


@pytest.mark.parametrize("headers", [{}, {"X-Remote-Group": "system:masters"}, {"X-Remote-User": "a\udcff"}])
def test_headers_without_a_user_name_nobody(headers: dict[str, str]) -> None:
    assert caller_of(TRUST, CIMultiDict(headers)) is None


def test_extra_values_are_collected_by_key() -> None:
    headers = CIMultiDict([("X-Remote-User", "a"), ("X-Remote-Extra-Z", "1"), ("x-remote-extra-z", "2")])
    headers.add("X-Remote-Extra-Example.Org%2Fk", "3")
    caller = caller_of(TRUST, headers)
    assert caller is not None
    assert caller.extra == (("example.org/k", ("3",)), ("z", ("1", "2")))


@pytest.mark.parametrize(
    ("certificate", "why"),
    [
        (None, "no client certificate"),
        ({}, "no client certificate"),
        (_certificate("other"), "not allowed"),
        (_certificate(), "not allowed"),
        (_certificate("other", PROXY), "not allowed"),
        (_certificate(PROXY, expires="Jan  1 00:00:00 2020 GMT"), "expired"),
        ({"subject": ((("commonName", PROXY),),)}, "expired"),
    ],
)
def test_a_certificate_that_is_not_the_front_proxys(certificate: dict[str, object] | None, why: str) -> None:
    assert why in refuse_certificate(TRUST, certificate, now=NOW)


def test_the_certificate_of_the_front_proxy() -> None:
    assert refuse_certificate(TRUST, _certificate(PROXY), now=NOW) == ""
