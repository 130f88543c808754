"""All infusions in one view: drips, pumps over HL7, pumps on serial lines.

``forecast`` says when a bag will be empty, ``infusion`` what is known of one device, ``view`` keeps
them, warns in time and remembers orders, ``service`` and ``cli`` show them.
"""
