"""What comes back from the tracker: visits until they are in the database, and what recipients choose.

journal.py   visits on disk, from the moment they were answered
recorder.py  visits in groups: judged, written, logged
desk.py      unsubscribing and taking it back
keys.py      the keys that links are signed with
"""
