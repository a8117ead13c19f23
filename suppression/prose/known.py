"""The families that are told by a form: webmail providers, carriers, Japanese hosts, filter appliances.

Only the order is here. A form with more of its own signs stands before one with fewer, wherever two could fit.
"""

from suppression.found import Recipient
from suppression.prose import appliances, carriers, form, japan, webmail
from suppression.prose.notice import Notice

FORMS = (*japan.FORMS, *carriers.FORMS, *appliances.FORMS, *webmail.FORMS)


def read(notice: Notice) -> list[Recipient]:
    """The recipients as the first form that fits names them; [] when none fits."""
    return form.read(FORMS, notice)
