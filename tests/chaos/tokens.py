"""Tokens of a ServiceAccount that expire when a drill wants it: the TokenRequest API makes none for under ten minutes.

Signed with the key of the sandbox's own control plane, as kube-apiserver signs them.
"""

import base64
import json
import time
import uuid
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

# --service-account-issuer of the sandbox, which is the audience of its API as well.
ISSUER = "https://kubernetes.default.svc.cluster.local"
_ISSUED_AGO_SECONDS = 3600


def sign_token(*, key: Path, namespace: str, name: str, uid: str, seconds: float) -> str:
    """A token of one ServiceAccount.

    Args:
        key: PEM of an elliptic key on P-256.
        seconds: until it expires; negative for one that has.

    Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
    """
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": [ISSUER],
        "sub": f"system:serviceaccount:{namespace}:{name}",
        "iat": now - _ISSUED_AGO_SECONDS,
        "nbf": now - _ISSUED_AGO_SECONDS,
        "exp": now + int(seconds),
        "jti": str(uuid.uuid4()),
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
    }
    private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    head = {"alg": "ES256", "kid": _key_id(private.public_key()), "typ": "JWT"}
    signed = f"{_encode(json.dumps(head).encode())}.{_encode(json.dumps(claims).encode())}"
    r, s = decode_dss_signature(private.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _key_id(key: ec.EllipticCurvePublicKey) -> str:
    """As kube-apiserver names a key: the hash of its DER."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return _encode(digest.finalize())


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
