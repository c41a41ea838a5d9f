"""Every limit of the configuration driven over by a client, while another one goes on to get messages.

| module | what it holds |
| --- | --- |
| `table` | the limits: how each is configured, driven over, seen and counted |
| `drivers` | clients that go beyond |
| `bystander` | the client that must notice nothing |
| `stage` | the nodes, and one row of the table played on them |
| `__main__` | the report |
"""
