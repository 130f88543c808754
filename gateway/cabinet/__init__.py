"""RFID cabinets: what lies in which drawer, who opened the door, and what is in doubt.

`docs/cabinets.md` explains it to those who set one up. The modules:

- `config`: the tables ``[[cabinets]]`` of gateway.toml;
- `presence`, `watching`, `doors`, `access`: state machines of a tag, of what can be seen, of a
  door, and of who may open it; no I/O, time is an argument;
- `lists`, `csvlists`: what a tag is (item, recall, badge), and how lists are read;
- `counts`, `garments`: how many there should be; who has which gown;
- `absence`, `accesses`, `cabinet`: one cabinet put together; `conditions`: its alarms; `outcome`,
  `telling`: what it tells;
- `interpreter`: all cabinets, as an interpreter of statements; `kept`, `storing`, `history`: what a
  restart must not forget;
- `commands`, `service`, `showing`, `cli`: for people.
"""
