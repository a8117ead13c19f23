"""One recipient's copy of a message, as it goes out.

It is the accepted content without what the application said to us alone: the
`X-Mailtrail-*` fields. Everything else is the same byte for byte, so that what others
have signed stays valid. Pure, and on the hot path: a message without such fields costs
one search through its header and is returned as it is, not copied.
"""

from relay.compose.mime import fields, header_end, without
from relay.delivery import Delivery

# All names that begin so are ours: a misspelt one would else carry the application's metadata to strangers.
_OURS = "x-mailtrail-"


def render(delivery: Delivery, content: bytes) -> bytes:
    """The copy of `content` that `delivery` is to send; the same object where nothing has to change."""
    if _OURS.encode() not in content[: header_end(content)].lower():
        return content
    return without(content, (field for field in fields(content) if field.name.startswith(_OURS)))
