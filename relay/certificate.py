"""Our certificate and key, as listeners use them: for submission, and for the public web.

They are read once in a worker's life: after a reload the workers are new, and have what the files hold then.
Fails with `OSError` (`ssl.SSLError`) where the files are not there or do not fit.
"""

import ssl
from pathlib import Path


def server_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """What a listener needs for TLS; without a certificate there is none."""
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996: older ones must not be used
    context.load_cert_chain(certificate, key)
    return context
