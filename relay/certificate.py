"""Our certificate and key, as listeners use them: for submission, and for the public web.

Fails with `OSError` (`ssl.SSLError`) where the files are not there or do not fit.
"""

import ssl
from pathlib import Path


class Certificate:
    """In one context that lives as long as we."""

    def __init__(self, certificate: Path, key: Path | None) -> None:
        self._files = (certificate, key)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996: older ones must not be used
        self.context.load_cert_chain(*self._files)

    def reload(self) -> None:
        """Take the files anew, for the handshakes to come; if they are no good the old ones stay, and it raises."""
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*self._files)
        self.context.load_cert_chain(*self._files)
