"""The tracker: what is put into a mail to see it opened, clicked and unsubscribed from, and what comes back.

A leaf: imports the standard library, aiohttp, idna and itself, never relay. Plain values
in, plain values (or a call to a function it was given) out.

What goes out:

token.py         what a link of ours says: signed, short, readable for ever
charset.py       in which charsets HTML can be read by its bytes
html.py          the tags of an HTML document, by their offsets
survey.py        its links in order, and where a pixel may stand
links.py         where a link leads, and whether it is tracked
lines.py         edits that keep lines as short as SMTP wants them
rewrite.py       HTML → the edits that make it trackable
twin.py          plain text → the HTML document that says the same
unsubscribe.py   List-Unsubscribe and List-Unsubscribe-Post

What comes back:

app.py           the public web: pixel, redirect, unsubscribe pages (and the files it names)
visit.py         an open or a click, as a value
visitor.py       was it a person or a machine? (agents.py, networks.py, bursts.py: what is known)
"""
