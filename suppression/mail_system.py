"""Who wrote a letter: a mail system that reports, or anybody else?

Looks at the header alone. It decides whether words of failure in the text are to be believed: a person may
write "user unknown" to another person. What the words say is for `prose`.

Rules. A name that only mail systems bear, in From; a header field that only they set; a null reverse-path; or a subject
of failure from somebody without a name (`no-reply`, a gateway). One weak sign is none. Never raises.
Standards: RFC 5321 4.5.5 (null reverse-path), RFC 2142 (postmaster), RFC 5322 3.6.2 (From).
"""

import re

from suppression.letter import Header

_NAME = re.compile(
    r"""(?:^|[<\s"'(.])
      (?: mailer[-_.\s]?d(?:ae|e)mon | mail[-_.]?d(?:ae|e)mon | m?daemon | post[-_.]master\w* | postmaster\w*
        | mail[-_.\s]delivery?[-_.\s](?:sub)?system | delivery[-_.\s]?(?:sub)?system | mail[-_]?router
        | mmsc?[-_.\s]\w*[-_.\s]?(?:ndr|admin)\w* | ndr | imss | mailgate(?:way)? | microsoft\sexchange
        | (?:mail\s)?system\sadministrator | mail\sadministrator | (?:internet\smail|mail)\sdelivery(?:\sservice)?
      )(?:$|[@>\s"').+,\\-])""",
    re.IGNORECASE | re.VERBOSE,
)
_MAIL = r"(?:e-?mails?|mail|messages?)"
_FAILS = r"(?:fail|err|delay|problem|unable|unsuccessful|impossible|could\ not|can(?:no|')t)"
_FAILURE = re.compile(
    rf"""\b(?: undeliver(?:ed|able|y)\b | (?:non|not|un)[-\s]?deliver(?:y|ed|able)\b | not\ yet\ been\ delivered
      | deliver(?:y|able)\b.{{0,40}}\b(?:{_FAILS}|status|notification|report|warning) | {_FAILS}\w*\b.{{0,40}}\bdeliver
      | return(?:ed|ing)\ (?:{_MAIL}|to\ sender) | {_MAIL}\b.{{0,30}}\breturn(?:ed|ing)
      | failure\ (?:notice|delivery|notification|report) | mail\ system\ error | loop\ alert | mail\ loop
      | {_MAIL}\b.{{0,20}}\b(?:fail(?:ed|ure)?|error|rejected|refused|bounced?|delayed)\b
      | (?:fail(?:ed|ure)|rejected|bounced?|error)\b.{{0,20}}\b(?:{_MAIL}|recipients?|notification)\b
      | (?:user|address|recipient|host|mailbox)\ (?:unknown|not\ found|unavailable|does\ not\ exist|full)
      | unknown\ (?:user|recipient|address) | (?:mailbox|quota)\ (?:is\ )?(?:full|exceeded)
      | unzustellbar\w* | nicht\ (?:zugestellt|zustellbar|[üu]bermittelt)\w* | zustell(?:ung|fehler|problem)\w*
      | non[-\s]remis\w* | [ée]chec\b.{{0,30}}\b(?:remise|distribution|livraison|envoi) | non\ distribu[ée]\w*
      | no\ (?:se\ )?(?:pudo|puede|entregad[oa]|ha\ podido)\b | devuelto\b | fallo\b.{{0,30}}\bentrega
      | n[ãa]o\ (?:entregue|p[ôo]de) | falha\b.{{0,30}}\bentrega | devolvid[ao]
      | mancat[oa]\ (?:recapito|consegna) | non\ recapitabil\w* | impossibile\ (?:recapitare|consegnare)
      | onbestelbaar\w* | niet\ (?:bezorgd|afgeleverd)\w* | kan\ (?:ikke|inte)\ lever\w* | olevererbar\w*
      | niedostarczon\w* | nedoru[čc]\w*
      )
      | не\s(?:доставлен|может\sбыть\sдоставлен|удалось\sдоставить) | недоставлен | ошибка\sдоставки | возвращен
      | (?:配信|送信|配送)(?:でき|不能|エラー|失敗) | 届き?ません | 不達 | メールエラー | エラー通知 | 宛先不明
      | 退信 | 邮件(?:传输|投递|发送)?(?:失败|退回|错误) | 无法(?:投递|送达|传递) | 系統退信 | 投遞失敗 | 退回
      | 반송 | 전송\s?실패 | 배달\s?(?:실패|되지)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_REPLY = re.compile(r"\s*(?:re|aw|sv|vs|antw|rif|odp)\s*(?:\[\d+\])?:", re.IGNORECASE)
_NAMELESS = re.compile(
    r"(?:no[-_.]?reply|do[-_.]?not[-_.]?reply|admin(?:istrator)?|root|system|bounces?|mail|gateway|virus\w*|filter|\w*_for_smtp\w*)"
    r"(?:[-+.][^@\s]*)?@",
    re.IGNORECASE,
)
_PERSON = re.compile(r"\b(?:postmaster|(?:system|mail) administrator)\b", re.IGNORECASE)
_FIELDS = ("x-failed-recipients", "x-mailer-daemon", "x-ms-exchange-message-is-ndr", "x-bounce-reason")
_OF_MAIL_PROGRAMS = ("in-reply-to", "references", "user-agent", "x-mailer", "thread-index", "list-id")


def is_mail_system(header: Header) -> bool:
    """Does this header say that a mail system reports?"""
    return bears_the_name(header) or is_null(header) or (says_failure(header) and _is_nameless(header))


def bears_the_name(header: Header) -> bool:
    """Does it say so by a name or a field that only mail systems have?"""
    if any(name in header for name in _FIELDS):
        return True
    sender = header.get("from")[:300]
    if not _NAME.search(sender):
        return False
    # A postmaster is a person too: one who answers a letter.
    answers = _REPLY.match(header.get("subject")) and "in-reply-to" in header
    return not (answers and _PERSON.search(sender) and not says_failure(header))


def is_null(header: Header) -> bool:
    """RFC 5321 4.5.5: a null reverse-path is for notifications; a sender that is nobody, likewise."""
    return header.get("return-path").strip() in ("<>", "<MAILER-DAEMON>") or header.get("from").strip() == "<>"


def says_failure(header: Header) -> bool:
    """Is the subject that of a report of failure?"""
    return _FAILURE.search(header.get("subject")[:300]) is not None


def _is_nameless(header: Header) -> bool:
    """Is it nobody who wrote this: a service's address, or one without a name and without a mail program?"""
    sender = header.get("from")[:300].strip()
    if _NAMELESS.search(sender):
        return True
    return " " not in sender and not any(name in header for name in _OF_MAIL_PROGRAMS)
