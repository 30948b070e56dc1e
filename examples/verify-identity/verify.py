"""Checks X-Postern-Identity that is signed with a shared secret (HS256), with nothing but Python's standard library.

As a program: python3 verify.py SECRET-FILE ISSUER ROUTE < header. Prints the claims; exits 1 with the reason when they are not to be believed.
docs/wire/device-identity.md says what they mean. Python's standard library has no Ed25519: a gateway's own signature needs a package for that.
"""
import base64
import hashlib
import hmac
import json
import sys
import time

SKEW_SECONDS = 60


def _decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def verify_identity(header, secret, issuer, route, now=None):
    """secret: bytes, as given to `postern secret set`. Returns the claims, or raises ValueError that says why not."""
    now = time.time() if now is None else now
    parts = header.strip().split(".")
    if len(parts) != 3:
        raise ValueError("there is no statement")
    head = json.loads(_decoded(parts[0]))
    # The algorithm is ours to choose, never the header's.
    if head.get("alg") != "HS256" or head.get("typ") != "postern-identity+jwt":
        raise ValueError("it is not a statement signed with the secret")
    wanted = hmac.new(secret, f"{parts[0]}.{parts[1]}".encode("ascii"), hashlib.sha256).digest()
    if not hmac.compare_digest(wanted, _decoded(parts[2])):
        raise ValueError("its signature is wrong")
    claims = json.loads(_decoded(parts[1]))
    if claims["iss"] != issuer:
        raise ValueError("it is another gateway's")
    if claims["aud"] != route:
        raise ValueError("it was made for another application")
    if not claims["exp"] > now - SKEW_SECONDS:
        raise ValueError("it is too old")
    if not claims["iat"] < now + SKEW_SECONDS:
        raise ValueError("it is from the future: compare the clocks")
    return claims


if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        shared = file.read().rstrip(b"\r\n")
    try:
        print(json.dumps(verify_identity(sys.stdin.read(), shared, sys.argv[2], sys.argv[3]), ensure_ascii=False))
    except ValueError as wrong:
        print(wrong, file=sys.stderr)
        sys.exit(1)
