"""Whole comparisons made of `fanwire bench`: the goals' table, other servers, a million connections."""
