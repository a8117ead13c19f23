"""Bounces in other languages than English: German, French, Spanish, Portuguese, Italian, Dutch, the languages of
northern and eastern Europe, Russian, Turkish, Greek, Japanese, Chinese and Korean.

Not the classes of what they say: the reply inside them is English mostly, and `replies` knows words of its own.

Rules. A phrase must say that mail could not be delivered; then addresses that stand alone on a line, in brackets,
behind a label, or in the sentence are the recipients, and the lines behind them the reason. Accents do not count.
Notices in two languages come here only when the English families did not know them.
"""

import re
from dataclasses import replace

from suppression.found import Recipient
from suppression.prose import causes, form
from suppression.prose.addresses import found, of_a_machine
from suppression.prose.form import Form
from suppression.prose.notice import Notice
from suppression.reply import plain

_LOOKED_AT = 8000  # characters in which the failure must be told

# One language after the other, phrases divided by bars.
_FAILED = """
# German
konnte nicht zugestellt werden | konnten nicht zugestellt werden | konnte nicht ausgeliefert werden |
nicht zustellbar | unzustellbar | zustellung der nachricht ist fehlgeschlagen | zustellung fehlgeschlagen |
fehler beim zustellen | konnten nicht erreicht werden | zustellung an folgende | übermittlung an folgende |
nicht zugestellt werden konnte | ihre nachricht wurde nicht an | nicht zugestellt,
# French
n'a pas pu être délivré | n'a pas pu être remis | n'a pas pu être distribué | n'a pas pu être envoyé |
n'a pu être délivré | n'a pu être remis | n'a pas été remis | n'a pas été délivré | message non remis |
non délivré | impossible de délivrer | impossible de remettre | échec de la remise | échec de remise |
n'ont pas reçu | n'a pas été distribué
# Spanish, Portuguese
no se pudo entregar | no se ha podido entregar | no pudo ser entregado | no ha podido ser entregado |
no se puede entregar | no ha sido entregado | no se ha entregado | no se entregó | no fue entregado |
error de entrega | fallo en la entrega | não pôde ser entregue | não pode ser entregue |
não foi possível entregar | falha na entrega | não foi entregue
# Italian
non è stato possibile consegnare | non e' stato possibile consegnare | impossibile recapitare |
impossibile consegnare | mancata consegna | non può essere consegnato | non è stato recapitato |
non è stato consegnato
# Dutch, Swedish, Danish, Norwegian, Finnish
kon niet worden afgeleverd | kon niet worden bezorgd | kon niet afgeleverd worden | niet bezorgd |
kunde inte levereras | gick inte att leverera | kunne ikke leveres | kunne ikke sendes | ei voitu toimittaa
# Polish, Czech, Slovak, Hungarian, Romanian, Turkish, Greek
nie mogła zostać dostarczona | nie można dostarczyć | nie została dostarczona | nie udało się dostarczyć |
nie zostało dostarczone | nie została doręczona | nelze doručit | nebylo možné doručit | nebola doručená |
nem kézbesíthető | nem sikerült kézbesíteni | nu a putut fi livrat | teslim edilemedi | iletilemedi |
δεν ήταν δυνατή η παράδοση | δεν παραδόθηκε
# Russian, Ukrainian
не может быть доставлен | не могло быть доставлен | не было доставлен | не удалось доставить | не доставлен |
невозможно доставить | недоставленное сообщение | доставить ваше письмо | не вдалося доставити |
не доставлене
# Japanese
送信できませんでした | 送信できません | 送信に失敗 | 送信不能 | 配信できませんでした | 配信に失敗 |
配信できません | 配送できませんでした | 配送に失敗 | お届けできませんでした | お届けできません |
届けることができませんでした | 配達できませんでした | 送信エラー | 配信不能 | メールエラー通知 |
配信されませんでした | 送信されませんでした | 見つかりませんでした | 宛先が存在しません
# Chinese
无法投递 | 无法送达 | 无法发送 | 未能送达 | 投递失败 | 发送失败 | 退信 | 被退回 | 無法傳送 | 無法投遞 |
無法送達 | 無法寄達 | 傳送失敗 | 未能傳送 | 未傳送 | 未递送 | 寄送失敗 | 投遞失敗
# Korean
전송하지 못했습니다 | 전송할 수 없습니다 | 배달하지 못했습니다 | 배달할 수 없습니다 | 전달되지 못했습니다 |
전달할 수 없습니다 | 보낼 수 없습니다 | 발송 실패 | 전송 실패 | 배달 실패
"""
_DELAYED = (
    r"wird weiterhin versucht|zustellung verzögert|nouvelle tentative|remise retardée|se volverá a intentar"
    r"|tentará novamente|попытки доставки будут|再送信します|再送を試み|遅延|延迟|重试"
)

# The address alone on its line, perhaps behind a mark, and perhaps with the reason after a colon.
_ALONE = Form(
    signs=(),
    names=r"^\s*(?:[-*•・●■>※]+\s*)?[\"'「『(（]?{to}[\"'」』)）]?(?:\s*[:：]\s*(?P<said>.*))?\s*$",
    ends=r"^\s*(?:-{2,}|={2,}).*(?:kopie|copie|copia|копия|コピー|元のメール|原文|原信|원본)",
    delays=_DELAYED,
)
# Behind a label.
_LABELLED = Form(
    signs=(),
    names=r"(?:\b(?:empfänger(?:adresse)?|destinatai?re?s?|destinatari[oi]s?|получател\w+|адресат\w*|recipient|ontvanger"
    r"|odbiorca|příjemce|mottagare|modtager|alıcı|adresse|an|to|à|a|для)\b"
    r"|宛先|宛て先|受信者|送信先|收件人|收件者|받는 ?사람|수신자)[^:：<@]{0,30}[:：<]\s*[\"'\[(]?{to}(?P<said>.*)$",
    delays=_DELAYED,
)

# Many servers write no accents.
_PHRASES = tuple(
    plain(phrase.strip())
    for written in _FAILED.splitlines()
    if written and not written.startswith("#")
    for phrase in written.split("|")
    if phrase.strip()
)
_EAST_ASIAN = r"[\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]"
_GLUED = re.compile(rf"^{_EAST_ASIAN}+(?=[!-~]+@)|(?<=\.)([a-z]{{2,24}}){_EAST_ASIAN}.*$", re.IGNORECASE)


def read(notice: Notice) -> list[Recipient]:
    """The recipients of a notice that tells its failure in one of these languages."""
    if not _tells_failure(f"{notice.subject}\n{notice.text[:_LOOKED_AT]}"):
        return []
    # Who reads the notice, and whom to ask for help, are recipients only when nobody else is named.
    others = {address.lower() for address in found(f"{notice.sender} {notice.field('to')}")}
    readings = [form.read([_ALONE], notice), form.read([_LABELLED], notice)]
    readings = [[replace(one, address=_unglued(one.address)) for one in named] for named in readings]
    people = [[one for one in named if not _is_other(one.address, others)] for named in readings]
    return people[0] or people[1] or _in_sentences(notice, others) or readings[0] or readings[1]


def _tells_failure(text: str) -> bool:
    text = " ".join(plain(text).split())
    return any(phrase in text for phrase in _PHRASES)


def _unglued(address: str) -> str:
    """East Asian words stand at an address without a blank between."""
    return _GLUED.sub(r"\1", address)


def _is_other(address: str, others: set[str]) -> bool:
    return address.lower() in others or of_a_machine(address)


def _in_sentences(notice: Notice, others: set[str]) -> list[Recipient]:
    """Who is named in the paragraph that tells the failure, or else in the next best; what follows is the reason."""
    paragraphs = re.split(r"\n\s*\n", notice.text[:_LOOKED_AT])
    named = [[name for name in map(_unglued, found(one)) if not _is_other(name, others)] for one in paragraphs]
    places = [number for number, names in enumerate(named) if names]
    places = [number for number in places if _tells_failure(paragraphs[number])] or places
    said = "\n".join(paragraphs[places[0] : places[0] + 3]) if places else ""
    action = causes.action(notice.subject, notice.text)
    return [form.verdict(name, said, action) for name in (named[places[0]] if places else ())]
