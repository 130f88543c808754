"""How each sort of outlet takes a notification: a Sender each (``sender.py``)."""
