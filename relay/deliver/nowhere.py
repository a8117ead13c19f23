"""No next hop: what it means for a delivery when there is no server to connect to.

The one table of it, as functions that give a `Verdict` with its words. Pure.

A hard bounce suppresses the address, so it needs the DNS's own word about the domain: it does not exist, or
it takes no mail. What nobody knows, what looks like a mistake that somebody will mend, and what is
missing on our side is deferred. What we refuse ourselves is a soft bounce.

RFC 3463 3.2, 3.5 (enhanced codes), RFC 7505 4.1 (null MX).
"""

from relay.deliver.typo import did_you_mean
from relay.delivery import Status, Verdict


def no_such_domain(domain: str) -> Verdict:
    """NXDOMAIN: nobody can have an address there."""
    return Verdict(Status.HARD_BOUNCE, "bad_domain", "5.1.2", f"domain {domain} does not exist{_hint(domain)}")


def takes_no_mail(domain: str) -> Verdict:
    """A null MX: the domain says itself that nobody has an address there."""
    # RFC 7505 4.1: 5.1.10, recipient address has null MX.
    reason = f"domain {domain} takes no mail (it has a null MX){_hint(domain)}"
    return Verdict(Status.HARD_BOUNCE, "bad_domain", "5.1.10", reason)


def no_mail_host(domain: str) -> Verdict:
    """The domain exists, and has neither MX nor address records. Postfix bounces it too, with this code."""
    # Every question got an authoritative "there is none", as with NXDOMAIN: RFC 5321 5.1 leaves nothing to try.
    reason = f"domain {domain} has no mail server: neither MX nor address records{_hint(domain)}"
    return Verdict(Status.HARD_BOUNCE, "bad_domain", "5.4.4", reason)


def mail_host_missing(domain: str, host: str) -> Verdict:
    """The MX names a host without an address: somebody means to take mail there, and has made a mistake."""
    # Postfix bounces at once. The records say that the domain wants mail, so it is no proof of a dead address; such
    # mistakes are mended within hours, and the sender hears of the delay. At the end of its life it is a soft bounce.
    reason = f"the mail server of {domain}, {host}, has no address in the DNS{_hint(domain)}"
    return Verdict(Status.DEFERRED, "dns_temp", "4.4.4", reason)


def nobody_knows(problem: str) -> Verdict:
    """SERVFAIL, REFUSED, no answer: the question is open."""
    return Verdict(Status.DEFERRED, "dns_temp", "4.4.3", problem)


def no_such_route(host: str) -> Verdict:
    """The operator's next hop has no address: our mistake, not the recipient's."""
    reason = f"the next hop that delivery.routes has for this destination, {host}, has no address in the DNS"
    return Verdict(Status.DEFERRED, "dns_temp", "4.4.4", reason)


def loops_back(destination: str, host: str) -> Verdict:
    """The best mail host is this relay, which has no mailboxes (RFC 5321 5.1: returned as undeliverable)."""
    reason = (
        f"mail for {destination} loops back to us: its mail server {host} is this relay. "
        f"Fix: say in delivery.routes where its mail goes"
    )
    return Verdict(Status.SOFT_BOUNCE, "policy", "5.4.6", reason)


def not_allowed(destination: str, host: str, ip: str, kind: str) -> Verdict:
    """The address is not on the public Internet. Final at once: an address does not become public by waiting."""
    # 5.4.4, unable to route: nothing is said about the mailbox, and nothing is suppressed.
    where = f"[{ip}]" if host == ip else f"{host}[{ip}]"
    reason = (
        f"mail for {destination} goes to {where}, {kind}, and is not sent there. "
        f"Fix: delivery.allow_private_destinations = true, or a route in delivery.routes"
    )
    return Verdict(Status.SOFT_BOUNCE, "policy", "5.4.4", reason)


def no_way(host: str, ip: str, *, ipv6: bool) -> Verdict:
    """Only IPv6 leads there, and we have none, or have switched it off."""
    why = "this machine has no IPv6 route to it" if ipv6 else "delivery.ipv6 is false"
    return Verdict(Status.DEFERRED, "network", "4.4.4", f"{host}[{ip}] is reached over IPv6 only, and {why}")


def no_literal(destination: str) -> Verdict:
    """What stands in the brackets is no IP address, so no machine can have it."""
    return Verdict(Status.HARD_BOUNCE, "bad_domain", "5.1.2", f"{destination} is not an address literal")


def _hint(domain: str) -> str:
    meant = did_you_mean(domain)
    return f"; did you mean {meant}?" if meant else ""
