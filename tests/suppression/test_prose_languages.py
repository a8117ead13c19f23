"""Bounces in other languages than English."""

import pytest

from tests.suppression.notices import addresses, bounce

NOTICES = {
    "German": "Ihre Nachricht konnte nicht zugestellt werden an:\n\n   ada@tot.test\n\n   Empfänger unbekannt\n",
    "German, label": "Die Mail ist unzustellbar.\n\nEmpfänger: ada@tot.test\nGrund: Postfach voll\n",
    "French": "Votre message n'a pas pu être délivré à\nada@tot.test\n\nBoîte pleine\n",
    "French without accents": "Votre message n'a pas pu etre delivre a\nada@tot.test\n",
    "Spanish": "No se pudo entregar su mensaje a los siguientes destinatarios:\n\n<ada@tot.test>: desconocido\n",
    "Portuguese": "A sua mensagem não pôde ser entregue.\n\nDestinatário: ada@tot.test\n",
    "Italian": "Non è stato possibile consegnare il messaggio al destinatario <ada@tot.test>.\n",
    "Polish": "Twoja wiadomość nie mogła zostać dostarczona do:\n\n* ada@tot.test\n",
    "Russian": "К сожалению, Ваше письмо не может быть доставлено получателям:\n\n<ada@tot.test>:\nнет такого ящика\n",
    "Japanese": "以下のアドレスへメールを送信できませんでした。\n\n宛先：ada@tot.test\n理由：ユーザーが存在しません\n",
    "Japanese, without blanks": "下記のメールは送信できませんでした。\n\n宛先はada@tot.testです。\n",
    "French, sentence": "Votre message adressé à ada@tot.test n'a pas été remis.\n\nQuestions : aide@poste.test\n",
    "Japanese, own line": "メールの配信に失敗しました。\n\n・ada@tot.test\n",
    "Chinese": "很抱歉，您的邮件被退回。\n\n收件人邮件地址：ada@tot.test\n退信原因：用户不存在\n",
    "Traditional Chinese": "您的郵件無法傳送給下列收件者：\n\n<ada@tot.test>\n",
    "Korean": "메일을 전송하지 못했습니다.\n\n받는 사람: ada@tot.test\n사유: 존재하지 않는 사용자\n",
}  # fmt: skip


@pytest.mark.parametrize("language", NOTICES)
def test_failure_is_understood_in_many_languages(language: str) -> None:
    """The recipient stands alone on a line, behind a label, or in the sentence; it failed."""
    found = bounce(NOTICES[language], "postmaster@tot.test", "Mail")
    assert [(one.address, one.action) for one in found] == [("ada@tot.test", "failed")]


def test_the_reply_inside_is_the_reason() -> None:
    """What a remote server said in English stands in the diagnostic, with its codes."""
    (found,) = bounce(
        "К сожалению, Ваше письмо не может быть доставлено одному или нескольким получателям:\n\n<ada@tot.test>:\n"
        "host mx.tot.test: 550 5.1.1 nobody here\n",
        "mailer-daemon@post.test",
        "Mail failure",
    )
    assert (found.code, found.status, found.mta) == (550, "5.1.1", "mx.tot.test")


def test_reader_and_helper_are_no_recipients() -> None:
    """The sender of the original and the postmaster are named in many notices, and did not fail."""
    found = bounce(
        "Die Nachricht von news@shop.test\nan ada@tot.test\nkonnte nicht zugestellt werden.\n\n"
        "Bei Fragen: postmaster@post.test\n",
        "postmaster@post.test",
        "Unzustellbar",
    )
    assert addresses(found) == ["ada@tot.test"]


def test_mail_in_another_language_is_no_bounce() -> None:
    """A letter that names addresses but tells of no failure names no recipient."""
    assert bounce("Bitte schreiben Sie an\n\nada@tot.test\n\nViele Grüße\n", "Ada <ada@tot.test>", "Neue Adresse") == []
    assert addresses(bounce("新しいアドレスは\n\nada@tot.test\n\nです\n", "Ada <ada@tot.test>", "アドレス変更")) == []
