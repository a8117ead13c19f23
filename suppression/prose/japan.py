"""Bounces of Japanese and Taiwanese hosts and products in prose: BIGLOBE, Active!hunter, m-FILTER, Mail2000.

A table of forms for `form.read`. What is written in Japanese around the addresses is not needed here: these products
frame what matters with lines of ASCII. Hosts that write nothing else are read by `languages`.
"""

from suppression.prose.form import Form

FORMS = (
    # BIGLOBE, McAfee's gateways and others: a rule with words, the addresses, a rule, the reason of all.
    Form(
        signs=("the following addresses had delivery problems",),
        begins=r"the following addresses had delivery problems",
        names=r"^\s*{to}\s*(?P<said>.*)$",
        reason=r"^\s*-+\s*(?:non-delivered information|transcript of session follows|reason)\s*-*\s*$",
    ),
    # Mail2000: the reason in brackets behind the address.
    Form(
        signs=("the following addresses had delivery errors",),
        begins=r"the following addresses had delivery errors",
        names=r"^\s*{to}\s*(?P<said>[\[({].*)?$",
    ),
    # Active!hunter: sendmail's words, its own arrows before the address.
    Form(
        signs=("the following addresses had permanent fatal errors", ">>> "),
        begins=r"had permanent fatal errors",
        names=r"^\s*>>>\s*\S+\s+{to}\s*$",
        reason=r"^\s*-+ transcript of session follows -+",
    ),
    # m-FILTER: the reply and the command each under a rule of seven dashes.
    Form(
        signs=("-------server message", "-------smtp command"),
        names=r"^\s*{to}\s*$",
        reason=r"^-------server message",
        ends=r"^-------smtp command",
    ),
)
