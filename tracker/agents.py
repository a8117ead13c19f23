"""Which user agents are known, and what an open and a click of theirs means.

A table, read from the top: the first pattern that is found decides. Not in it are browsers and
mail programs: whatever is not known to be a machine may be a person, however odd it looks.
Each row was taken from what the makers publish or what senders report of them.

Patterns are regular expressions without regard to case, and narrow on purpose. A phone may be
called CUBOT; Avast, AVG and Norton sell browsers; Outlook calls itself "Microsoft Office"; a mail app
"okhttp", "Dalvik", "Dart" or "CFNetwork": none of these is a machine.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from tracker.visit import By


@dataclass(frozen=True, slots=True)
class Agent:
    """A user agent that we know: who an open and who a click of it is by, and why."""

    pattern: str
    agent_class: str  # proxy, privacy, prefetch, scanner, preview, program
    opens: By
    clicks: By
    reason: str


def _proxy(pattern: str, name: str) -> Agent:
    return Agent(pattern, "proxy", "person", "machine", f"{name} fetches images when the mail is opened")


def _machine(agent_class: str, pattern: str, reason: str) -> Agent:
    return Agent(pattern, agent_class, "machine", "machine", reason)


AGENTS = (
    # Apple's Mail Privacy Protection fetches every image soon after arrival, read or not. Exactly this and no more:
    # with "(Macintosh; …) AppleWebKit/605.1.15 (KHTML, like Gecko)" behind it, it is Apple Mail without the protection.
    _machine("privacy", r"^Mozilla/5\.0$", "Apple's privacy proxy fetches images whether or not the mail is read"),
    # Fetched while Gmail is open and before it shows the mail; the true open follows as GoogleImageProxy.
    _machine("prefetch", r"Chrome/42\.0\.2311\.135 Safari/537\.36 Edge/12\.246 Mozilla/5\.0$", "Gmail's own prefetch"),
    # --- those that fetch images for a person who looks at them ---
    _proxy(r"GoogleImageProxy|ggpht\.com", "Gmail's image proxy"),
    _proxy(r"YahooMailProxy", "Yahoo's image proxy"),
    _proxy(r"SeznamEmailProxy", "Seznam's image proxy"),
    _proxy(r"^hey\.com/imageproxy", "HEY's image proxy"),
    _proxy(r"FastmailUA", "Fastmail's image proxy"),
    # --- those that look for danger ---
    _machine("scanner", r"Barracuda", "Barracuda's link protection"),
    _machine("scanner", r"Proofpoint", "Proofpoint's link protection"),
    _machine("scanner", r"Mimecast", "Mimecast's link protection"),
    _machine("scanner", r"Symantec|MessageLabs", "Symantec's link protection"),
    _machine("scanner", r"Trend ?Micro", "Trend Micro's link protection"),
    _machine("scanner", r"FireEye|Trellix", "FireEye's link protection"),
    _machine("scanner", r"IronPort|Cisco Secure Email", "Cisco's link protection"),
    _machine("scanner", r"Safe ?Links", "Microsoft's link protection"),
    _machine("scanner", r"BingPreview", "Microsoft looks at the page on its own"),
    _machine("scanner", r"Cloudmark|Hornetsecurity|SpamTitan|MailMarshal|GreatHorn", "a mail filter"),
    _machine("scanner", r"Sophos ?(Email|Labs)|Forcepoint Email|MUDV\d", "a mail filter"),
    _machine("scanner", r"urlscan|VirusTotal|Google-Safety|zgrab|censys", "a scanner of links"),
    # --- those that draw a preview where a link was pasted ---
    _machine("preview", r"facebookexternalhit|Facebot|meta-external", "a preview for Facebook or an Apple message"),
    _machine("preview", r"Slackbot|Slack-ImgProxy", "a preview for Slack"),
    _machine("preview", r"^WhatsApp/", "a preview for WhatsApp or Signal"),
    _machine("preview", r"Twitterbot|TelegramBot|LinkedInBot|Discordbot|redditbot|Pinterestbot", "a preview of a post"),
    _machine("preview", r"SkypeUriPreview|TeamsBot|Mattermost-Bot|Viber/.*Preview", "a preview for a chat"),
    _machine("preview", r"Iframely|Embedly|vkShare|Google-PageRenderer|GoogleMessages/", "a preview of a pasted link"),
    _machine("preview", r"Google Web Preview|Google-Read-Aloud|Chrome-Lighthouse", "a preview of Google's"),
    _machine("preview", r"Office Existence Discovery", "Microsoft Office asks whether the link is alive"),
    # --- programs without a person in front of them ---
    _machine(
        "program", r"Headless|PhantomJS|SlimerJS|Puppeteer|Playwright|Selenium|\bjsdom/", "a browser without a screen"
    ),
    _machine("program", r"^(lib)?curl/|^Wget|^HTTPie|^PostmanRuntime|^insomnia/", "a tool of programmers"),
    _machine("program", r"^python|^aiohttp|python-requests|python-httpx|^Scrapy|\burllib", "a program in Python"),
    _machine("program", r"Go-http-client|^Go \d|^fasthttp", "a program in Go"),
    # Not "Apache-HttpClient/UNAVAILABLE (java 1.4)": old Android mail programs say that.
    _machine(
        "program", r"^Java/|^Java-http-client|^Apache-HttpClient/\d|^Jersey/|^AHC/|^ReactorNetty", "a program in Java"
    ),
    _machine("program", r"^axios/|^node\b|^node-fetch|^undici|^got \(|^Bun/|^Deno/", "a program in JavaScript"),
    _machine(
        "program", r"^Ruby|^Faraday|^GuzzleHttp|^PHP/|^Symfony|libwww-perl|^lwp-|^lua-resty|WinHttp\.", "a program"
    ),
    _machine("program", r"^RestSharp|^PowerShell|WindowsPowerShell|^reqwest/|^hyper/", "a program"),
    # --- crawlers, which are known by their shape ---
    _machine("scanner", r"compatible; [\w.-]*(?<!cu)bot\b|(?<!cu)bot/\d", "a crawler"),
    _machine(
        "scanner", r"crawler\b|spider[/;)]|^[\w-]*spider\b|Yahoo! Slurp|archive\.org|HubSpot Connect", "a crawler"
    ),
)

_COMPILED = tuple((re.compile(agent.pattern, re.IGNORECASE), agent) for agent in AGENTS)


@lru_cache(maxsize=4096)
def known(text: str) -> Agent | None:
    """What we know of the user agent `text`; None: nothing."""
    return next((agent for pattern, agent in _COMPILED if pattern.search(text)), None)
