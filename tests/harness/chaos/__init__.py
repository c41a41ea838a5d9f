"""Real nodes and a real Redis under faults, clients that keep books of it all, and a checker of these books.

| module | what it holds |
| --- | --- |
| `books` | what was sent, acknowledged, received and told, by whom, and when |
| `timeline` | what was done to the cluster, and what harm that may do |
| `check`, `kept`, `plain`, `walk`, `order`, `verdict` | what the books come to; pure |
| `visitor`, `publisher`, `subscriber`, `command` | clients that come back, as the protocol's README says |
| `channel`, `broadcasts` | how such a client keeps its places |
| `proxy` | TCP connections that are cut, slowed and held up |
| `redises` | the kinds of Redis that nodes can be at |
| `stage` | all of these together |
| `faults`, `…_faults`, `plan` | what is done to them, drawn by a seed |
| `run`, `report`, `__main__` | a run from its seed to its result |
"""
