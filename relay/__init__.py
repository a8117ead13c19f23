"""Mailtrail: an SMTP relay that tells what became of every message.

One message, one straight line:

 1  relay/accept/server.py       the client says MAIL, RCPT, DATA                → envelope, content
 2  relay/accept/submission.py   may this client send this?                      → Message, Deliveries
 3  relay/store/store.py         accept(): one commit; only then 250
 4  relay/deliver/dispatcher.py  claim what is due, by destination, within limits  (hand, lane)
 5  relay/deliver/suppressed.py  may this address still be mailed?               → on, or rejected
 6  relay/compose/render.py      this recipient's copy: tracked, signed           → bytes
 7  relay/deliver/mx.py          the next hops, in order
 8  relay/deliver/client.py      one SMTP transaction                            → what the server said
 9  relay/deliver/outcome.py     what that means                                 → Verdict
10  relay/store/store.py         settle(): one commit
11  relay/deliver/settling.py    what follows: when next (schedule.py), what the sender is told (compose/dsn.py)
    later, from outside:
12  tracker/app.py               a pixel, a link, an unsubscribe page            → Visit
13  relay/track/recorder.py      person or machine? one commit for many           (journal, desk)
14  relay/accept/inbound.py      a bounce or a complaint comes back              → letter
15  relay/feedback.py            what it says (suppression), whose it is, and what follows: one commit

The words (address, reply, envelope, delivery, event, credential) are plain values
at the bottom; everything else may import them, they import nothing but each other.
"""

__version__ = "0.1.0"
