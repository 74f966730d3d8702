"""The data room: rows become examples, examples become batches.

load       files and Hub data sets -> rows (plain dicts)
cells      one cell -> a text, a name, a list of names
columns    rows -> examples, by the columns that the config names
carve      which training rows become a missing split
splits     the three splits of a config, read or carved, with digests
check      what is wrong with them (copies, near_duplicates: rows that are there more than once)
guess      a config for files that nobody has described yet (profiles, siblings, starter: its parts)
metrics    numbers from logits and targets
row_table  named arrays with one entry a row
draw       random numbers keyed by what they are for
encode     examples -> token ids
batches    token ids -> steps and micro-batches

Only encode and batches may need torch or transformers: checking data works without them.
"""
