"""Bounces of filter appliances and filtering services in prose: InterScan, MX Logic, SpamLion, Symantec, Mimecast,
Vade, MailMarshal, SurfControl, MailFoundry, IronPort, GFI, FrontBridge and the like.

A table of forms for `form.read`. They stand between two servers: some repeat the SMTP conversation, most only say
that the next server did not want the mail.
"""

from suppression.prose.form import Form

_ALONE = r"^\s*(?:[-*]+\s*)?[\"']?{to}[\"']?[\s:.]*$"

FORMS = (
    # InterScan: the conversation from its own point of view, or one sentence.
    Form(
        signs=("sent <<<", "received >>>"),
        names=r"^\s*sent <<< *rcpt to: *{to}",
        reason=r"^\s*received >>> *(?P<said>.*)",
        stops=r"^\s*$",
    ),
    Form(
        signs=("unable to deliver message to", "interscan|other recipients in the same domain"),
        names=r"(?P<said>unable to deliver message to) {to}",
        stops=r"^\s*$|\*\*\*\*",
    ),
    # MailFoundry: the recipient, the reason, and that it is final, each a sentence with a colon.
    Form(
        signs=("unable to deliver message to:", "delivery failed for the following reason"),
        names=r"unable to deliver message to:\s*{to}",
        reason=r"delivery failed for the following reason:?\s*(?P<said>.*)",
        stops=r"^\s*$|^this has been",
    ),
    # IronPort: two sentences, code and text with a dash between.
    Form(
        signs=("the following message to", "was undeliverable", "the reason for the problem"),
        names=r"the following message to {to}",
        reason=r"the reason for the problem:\s*(?P<said>.*)",
        stops=r"^\s*$",
    ),
    # MX Logic, later McAfee: the reply behind the address.
    Form(
        signs=("a message that you have sent could not be delivered", "the following address"),
        begins=r"following address\S* failed",
        names=r"^\s*{to}:\s*(?P<said>.*)$",
        stops=r"^\s*$",
    ),
    # SpamLion, NetWin and others: the envelope as a letter head, one sentence with the recipient.
    Form(
        signs=("your message", "did not reach the following recipient"),
        names=r"(?P<said>did not reach the following recipient)(?:\(s\)|s)?:\s*{to}",
    ),
    # Symantec's gateway. It goes on trying.
    Form(
        signs=("your message with subject:", "could not be delivered to the following recipient"),
        begins=r"could not be delivered to the following recipient",
        names=_ALONE,
        stops=r"^please do not resend",
        delays=r"delivery attempts will continue",
    ),
    # Mimecast: two dashes before everything that is a value.
    Form(
        signs=("delivery failure notification message", "could not be delivered"),
        begins=r"addressed to email address",
        names=r"^\s*--\s*{to}",
        reason=r"the problem appears to be|additional information follows",
        stops=r"^this condition occurred",
    ),
    # Vade: the server in quotes, the recipient in square brackets.
    Form(
        signs=("delivery has failed to these recipients", "returned an error"),
        names=r"^\s*\*\s*\[{to}\]:?\s*(?P<said>.*)$",
        ends=r"^original message details",
    ),
    # MailMarshal: the reason above, the recipients below.
    Form(
        signs=("could not be delivered because of", "the following recipients were affected"),
        names=_ALONE,
        reason=r"could not be delivered because of\s*(?P<said>.*)",
        stops=r"the following recipients were affected",
    ),
    # SurfControl: a journal of the attempts.
    Form(
        signs=("a transcript of the attempts to send the message follows", "addressed to:"),
        names=r"^\s*addressed to:\s*{to}",
        reason=r"(?P<said>failed to send to identified host.*)",
        stops=r"message non-deliverable",
    ),
    # GFI, Exchange sinks and others that begin with a headline.
    Form(
        signs=(
            "non-delivery report",
            "could not be delivered to the following user|could not be delivered to the following recipient",
        ),
        begins=r"could not be delivered to the following",
        names=r"^\s*(?:\".*\"\s*)?{to}\s*$",
        ends=r"^old message",
    ),
    # FrontBridge and other filters that warn.
    Form(
        signs=("your message to:", "has not yet been delivered"),
        begins=r"^\s*your message to:",
        names=_ALONE,
        reason=r"^\s*(?P<said>has not yet been delivered.*)",
        stops=r"^\s*$",
        delays=r"not yet been delivered",
    ),
    # Hosted filters that count their errors.
    Form(
        signs=("we had trouble delivering your message", "recipients returned"),
        names=r"recipients returned \w+ errors: {to}\.\s*(?P<said>.*)",
        ends=r"^the attachment contains",
        delays=r"recipients returned temporary errors",
    ),
    # IceWarp, Amen and others with a frame of equal signs; "Delevery" is theirs.
    Form(
        signs=("automatically generated delivery status notification", "technical details:"),
        begins=r"^\s*del[ei]very to the following recipients?",
        names=r"^\s*[*-]\s*{to}\s*$",
        reason=r"^\s*technical details:\s*(?P<said>.*)",
        delays=r"recipients? (?:has been|was|were) delayed|warning message only",
    ),
    # Directories of universities (ph): names without a domain, and nothing but their own words below the rule.
    Form(
        signs=("message not delivered to the following", "error detail (phquery"),
        begins=r"message not delivered to the following",
        names=r"^\s+(?P<to>[\w.+-]+(?:@[\w.-]+\w)?)(?:\s{2,}(?P<said>\S.*))?\s*$",
        ends=r"error detail",
    ),
    # A notice in two languages that names what it is about with a colon.
    Form(
        signs=("reject reason:", "mail address:"),
        names=r"^\s*(?:target )?mail address:\s*{to}",
        reason=r"^\s*reject reason:\s*(?P<said>.*)",
        stops=r"^target",
    ),
)
