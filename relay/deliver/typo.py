"""Did you mean gmail.com? Well-known mail domains that are one slip away.

One slip is one letter left out, put in, replaced, or two neighbours swapped: a
Damerau-Levenshtein distance of 1. It only adds words to the reason of a bounce that
happened anyway; no address is ever changed by it. Pure.
"""

# The most used come first: they win where two are one slip away.
WELL_KNOWN = (
    *("gmail.com", "outlook.com", "hotmail.com", "yahoo.com", "icloud.com", "live.com", "aol.com", "msn.com"),
    *("googlemail.com", "hotmail.co.uk", "hotmail.fr", "hotmail.de", "hotmail.it", "hotmail.es", "live.co.uk"),
    *("live.nl", "yahoo.co.uk", "yahoo.fr", "yahoo.de", "yahoo.it", "yahoo.es", "yahoo.co.jp", "yahoo.com.br"),
    *("yahoo.co.in", "gmx.de", "gmx.net", "gmx.at", "gmx.ch", "gmx.com", "web.de", "t-online.de", "freenet.de"),
    *("orange.fr", "wanadoo.fr", "laposte.net", "free.fr", "libero.it", "ziggo.nl", "kpnmail.nl", "telenet.be"),
    *("bluewin.ch", "seznam.cz", "wp.pl", "yandex.ru", "mail.ru", "proton.me", "protonmail.com", "fastmail.com"),
    *("comcast.net", "verizon.net", "sbcglobal.net", "bellsouth.net", "btinternet.com", "naver.com", "ymail.com"),
    *("mail.com", "rediffmail.com", "uol.com.br", "bol.com.br", "rogers.com", "bigpond.com", "zoho.com"),
)
_KNOWN = frozenset(WELL_KNOWN)


def did_you_mean(domain: str) -> str | None:
    """The well-known domain that `domain` (lower-case) is one slip away from; None too if it is one itself."""
    if domain in _KNOWN:
        return None
    return next((known for known in WELL_KNOWN if one_slip(domain, known)), None)


def one_slip(a: str, b: str) -> bool:
    """Is the Damerau-Levenshtein distance of `a` and `b` exactly 1?"""
    if len(a) > len(b):
        a, b = b, a
    start = 0
    while start < len(a) and a[start] == b[start]:
        start += 1
    rest_a, rest_b = a[start:], b[start:]
    if len(rest_a) == len(rest_b):
        swapped = rest_a[1::-1] + rest_a[2:]
        return bool(rest_a) and (rest_a[1:] == rest_b[1:] or swapped == rest_b)
    return rest_a == rest_b[1:]
