"""A node among clients that mean no good: what its other clients notice of them, and what they cost.

| module | what it holds |
| --- | --- |
| `attackers` | one socket each, and what it does |
| `crowd` | a process full of them |
| `guests` | the good clients, and newcomers among them |
| `run` | before, during and after |
| `report` | what came of it |
"""
