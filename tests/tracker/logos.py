"""A logo of every kind, each as small as can be (of JPEG no more than tells it is one)."""

import base64

from tracker.wire import GIF

DRAWING = b"""<?xml version="1.0" encoding="utf-8"?>
<!-- ours -->
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 80 20"><rect width="80" height="20" fill="#ff00ff"/></svg>
"""
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
WEBP = base64.b64decode("UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA==")
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xd9"

KINDS = {
    "image/svg+xml": DRAWING,
    "image/png": PNG,
    "image/webp": WEBP,
    "image/jpeg": JPEG,
    "image/gif": GIF,
}
