"""Bounces of webmail providers without a machine-readable part."""

from tests.suppression.notices import RETURNED, addresses, bounce


def test_google_names_recipients_above_and_the_reason_of_all_below() -> None:
    """Google's older notices: the indented addresses are the recipients, the technical details their reason."""
    found = bounce(
        "Delivery to the following recipients failed permanently:\n\n     ada@dead.test\n     bob@dead.test\n\n"
        "Technical details of permanent failure: \nGoogle tried to deliver your message, but it was rejected by the "
        "server for the recipient domain dead.test by mx.dead.test. [198.51.100.4].\n\n"
        "The error that the other server returned was:\n550 5.1.1 No such mailbox\n\n"
        "----- Original message -----\n\n" + RETURNED.format(to="carol@dead.test"),
        "Mail Delivery Subsystem <mailer-daemon@googlemail.test>",
        "Delivery Status Notification (Failure)",
    )
    assert addresses(found) == ["ada@dead.test", "bob@dead.test"]
    assert {(one.action, one.status, one.code) for one in found} == {("failed", "5.1.1", 550)}
    assert all("No such mailbox" in one.diagnostic for one in found)


def test_google_says_that_a_delay_is_no_failure() -> None:
    """A notice that the message will be retried is a delay, and has no code where it tells none."""
    (found,) = bounce(
        "This is an automatically generated Delivery Status Notification\n\nTHIS IS A WARNING MESSAGE ONLY.\n\n"
        "Delivery to the following recipient has been delayed:\n\n     ada@slow.test\n\n"
        "Message will be retried for 1 more day(s)\n\nTechnical details of temporary failure: \n"
        "[slow.test. (10): Connection timed out]\n\n----- Original message -----\n\n"
        + RETURNED.format(to="ada@slow.test"),
        subject="Delivery Status Notification (Delay)",
    )
    assert (found.address, found.action, found.status, found.code) == ("ada@slow.test", "delayed", "", None)


def test_google_today_names_the_recipient_in_a_sentence() -> None:
    """Google's newer notices: the recipient stands in the first sentence, the reply behind "The response was:"."""
    (found,) = bounce(
        "** Address not found **\n\nYour message wasn't delivered to ada@dead.test because the address couldn't be "
        "found, or is unable to receive mail.\n\nThe response was:\n\n550 5.1.1 The account does not exist.\n",
        "Mail Delivery Subsystem <mailer-daemon@googlemail.test>",
        "Delivery Status Notification (Failure)",
    )
    assert (found.address, found.status, found.code) == ("ada@dead.test", "5.1.1", 550)


def test_yahoo_gives_every_recipient_its_own_reply() -> None:
    """Yahoo: each address in brackets, the lines until the next one are its reason."""
    first, second = bounce(
        "Sorry, we were unable to deliver your message to the following address.\n\n<ada@dead.test>:\n"
        "Remote host said:\n550 5.1.1 <ada@dead.test>... nobody here\n[RCPT_TO]\n\n<bob@full.test>:\n"
        "552: 5.2.2 Over quota\n\n--- Below this line is a copy of the message.\n\n"
        + RETURNED.format(to="ada@dead.test"),
        "MAILER-DAEMON@yahoo.test",
        "Failure Notice",
    )
    assert (first.address, first.status, first.code) == ("ada@dead.test", "5.1.1", 550)
    assert (second.address, second.status, second.code) == ("bob@full.test", "5.2.2", 552)
    assert "quota" not in first.diagnostic


def test_old_yahoo_answers_for_its_own_accounts_in_words() -> None:
    """Yahoo's first form has no codes, and none are invented."""
    found = bounce(
        "Message from yahoo.test.\nUnable to deliver message to the following address(es).\n\n<ada@yahoo.test>:\n"
        "This user doesn't have an account here (ada@yahoo.test) [-5]\n\n<bob@yahoo.test>:\n"
        "Sorry, your message to bob@yahoo.test cannot be delivered.  This account is over quota.\n\n"
        "--- Original message follows.\n\n" + RETURNED.format(to="ada@yahoo.test"),
        "MAILER-DAEMON@yahoo.test",
        "Delivery failure",
    )
    assert addresses(found) == ["ada@yahoo.test", "bob@yahoo.test"]
    assert [(one.status, one.code) for one in found] == [("", None), ("", None)]


def test_aol_screen_names_get_the_domain_of_the_reporter() -> None:
    """Who refuses us at AOL is named without a domain: it is the one that the notice comes from."""
    (found,) = bounce(
        "\nYour mail to the following recipients could not be delivered because they are not accepting mail from "
        "news@shop.test:\n\tadabyron\n",
        "Mail Delivery Subsystem <MAILER-DAEMON@aol.test>",
        "Mail Delivery Problem",
    )
    assert found.address == "adabyron@aol.test"


def test_zoho_puts_the_reply_in_pieces() -> None:
    """Zoho: what follows ERROR_CODE is the reply; a recipient a line."""
    first, second = bounce(
        "This message was created automatically by mail delivery software.\nA message that you sent could not be "
        "delivered to one or more of its recipients. This is a permanent error. \n\nada@dead.test Invalid Address, "
        "ERROR_CODE :550, ERROR_CODE :5.1.1 <ada@dead.test>... nobody here\nbob@full.test Invalid Address, "
        "ERROR_CODE :552, ERROR_CODE :5.2.2 full\n\nReceived:from mail.zoho.test by mx.zoho.test\n"
        "To:<carol@dead.test>\n",
        "mailer-daemon@mail.zoho.test",
    )
    assert (first.address, first.status, first.code) == ("ada@dead.test", "5.1.1", 550)
    assert (second.address, second.status, second.code) == ("bob@full.test", "5.2.2", 552)


def test_gmx_quotes_its_recipients() -> None:
    """GMX and 1&1: the address may stand bare, in quotes or in brackets."""
    for written in ('"ada@dead.test":\n', "ada@dead.test:\n", "<ada@dead.test>\n\nReason:\n"):
        (found,) = bounce(
            "This message was created automatically by mail delivery software.\n\nA message that you "
            "sent could not be "
            f"delivered to one or more of\nits recipients. This is a permanent error. The following "
            f"address\nfailed:\n\n{written}"
            "SMTP error from remote server after RCPT command:\nhost: mx.dead.test\n5.1.1 "
            "<ada@dead.test>... nobody here\n\n\n"
            "--- The header of the original message is following. ---\n\n" + RETURNED.format(to="carol@dead.test"),
            "MAILER-DAEMON@mail.gmx.test",
        )
        assert (found.address, found.status, found.mta) == ("ada@dead.test", "5.1.1", "mx.dead.test")
        assert "header of the original" not in found.diagnostic
